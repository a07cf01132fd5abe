#include "logs/path_template.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 32) >= 'a' && (c | 32) <= 'f');
}

static void add_segment(struct slice s, struct text *out)
{
    size_t digits = 0, letters = 0, hyphens = 0;
    for (size_t i = 0; i < s.len; i++) {
        digits += is_digit(s.data[i]);
        letters += is_hex(s.data[i]) && !is_digit(s.data[i]);
        hyphens += s.data[i] == '-';
    }
    if (s.len && digits == s.len)
        TEXT_LITERAL(out, "{n}");
    else if (digits && digits + letters >= 8 && digits + letters + hyphens == s.len)
        TEXT_LITERAL(out, "{hex}");
    else
        text_add_slice(out, s);
}

void path_template(struct slice path, struct text *out)
{
    while (path.len) {
        size_t len = 0;
        while (len < path.len && path.data[len] != '/') len++;
        add_segment((struct slice){ path.data, len }, out);
        if (len < path.len) text_add_char(out, path.data[len++]);
        path = (struct slice){ path.data + len, path.len - len };
    }
}
