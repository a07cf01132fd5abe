#include "base/slice.h"

static char fold(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
}

bool slice_is_same_fold(const char *a, const char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (a[i] != b[i] && fold(a[i]) != fold(b[i])) return false;
    return true;
}

bool slice_next_element(struct slice *rest, struct slice *element)
{
    while (rest->len) {
        size_t end = 0;
        bool is_quoted = false;
        for (; end < rest->len; end++) {
            char c = rest->data[end];
            if (is_quoted && c == '\\' && end + 1 < rest->len)
                end++;
            else if (c == '"')
                is_quoted = !is_quoted;
            else if (c == ',' && !is_quoted)
                break;
        }
        *element = slice_trim((struct slice){ rest->data, end });
        size_t used = end < rest->len ? end + 1 : end;
        rest->data += used;
        rest->len -= used;
        if (element->len) return true;
    }
    return false;
}
