#include "logs/rotation.h"

static bool ends_with(struct slice s, struct slice end)
{
    return s.len > end.len && memcmp(s.data + s.len - end.len, end.data, end.len) == 0;
}

static bool is_in_date(char c)
{
    return (c >= '0' && c <= '9') || strchr(".-_:T", c);
}

/* How many bytes at the end of `s` are a separator, a digit and more of a number or date; 0: none. */
static size_t mark_len(struct slice s)
{
    size_t at = s.len;
    while (at && s.data[at - 1] && is_in_date(s.data[at - 1])) at--;
    while (at < s.len && !strchr(".-_", s.data[at])) at++;
    return at && s.len - at >= 2 && s.data[at + 1] >= '0' && s.data[at + 1] <= '9' ? s.len - at : 0;
}

static size_t word_len(struct slice s)
{
    static const char *const words[] = { ".old", ".bak", ".prev" };
    for (unsigned i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (ends_with(s, slice_of(words[i]))) return strlen(words[i]);
    return 0;
}

bool rotation_base(struct slice name, char out[ROTATION_NAME_MAX + 1])
{
    if (name.len > ROTATION_NAME_MAX) return false;
    struct slice stem = { name.data, name.len - word_len(name) };
    stem.len -= mark_len(stem);
    struct slice extension = SLICE_NONE;
    const char *dot = stem.len == name.len ? memrchr(name.data, '.', name.len) : NULL;
    if (dot) { /* the mark may stand before the extension */
        struct slice before = { name.data, (size_t)(dot - name.data) };
        extension = (struct slice){ dot, name.len - before.len };
        stem = (struct slice){ before.data, before.len - mark_len(before) };
    }
    if (stem.len) memcpy(out, stem.data, stem.len);
    if (extension.len) memcpy(out + stem.len, extension.data, extension.len);
    out[stem.len + extension.len] = 0;
    return true;
}

bool rotation_is_packed(struct slice name)
{
    static const char *const endings[] = { ".gz", ".zst", ".bz2", ".xz", ".lz4" };
    for (unsigned i = 0; i < sizeof(endings) / sizeof(*endings); i++)
        if (ends_with(name, slice_of(endings[i]))) return true;
    return false;
}
