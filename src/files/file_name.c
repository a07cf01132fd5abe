#include "files/file_name.h"

static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f') return (c | 32) - 'a' + 10;
    return -1;
}

static bool is_dots(struct slice s)
{
    return slice_equal(s, SLICE(".")) || slice_equal(s, SLICE(".."));
}

/* One segment, decoded. A slash or a NUL in it would be another name to the system than to whoever judged the path. */
static const char *put_segment(struct slice s, struct text *out)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];
        if (c == '%') {
            int high = i + 2 < s.len ? digit(s.data[i + 1]) : -1,
                low = i + 2 < s.len ? digit(s.data[i + 2]) : -1;
            if (high < 0 || low < 0) return "its path has a % that two hexadecimal digits do not follow";
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '/' || !c) return "no file's name has a slash or a NUL in it";
        text_add_char(out, c);
    }
    return NULL;
}

const char *file_name_put(struct slice path, bool takes_hidden, struct text *out)
{
    if (!path.len || *path.data != '/') return "it asks for no path";
    size_t begin = out->len;
    for (size_t at = 1; at < path.len;) {
        const char *slash = memchr(path.data + at, '/', path.len - at);
        size_t end = slash ? (size_t)(slash - path.data) : path.len, start = out->len;
        const char *why = put_segment((struct slice){ path.data + at, end - at }, out);
        if (why) return why;
        struct slice segment = { out->data + start, out->len - start };
        if (!segment.len) return "its path has an empty segment";
        if (is_dots(segment)) return "its path has a dot segment";
        bool is_well_known = start == begin && slash &&
                             slice_equal(segment, SLICE(".well-known")); /* RFC 8615 */
        if (*segment.data == '.' && !takes_hidden && !is_well_known) return "hidden files are not served";
        if (slash) text_add_char(out, '/');
        at = end + 1;
    }
    return out->is_cut || out->len - begin >= FILE_NAME_MAX ? "no file's name is as long as that" : NULL;
}

bool file_name_is_plain(const char *name)
{
    struct slice rest = slice_of(name);
    while (rest.len) {
        const char *slash = memchr(rest.data, '/', rest.len);
        struct slice segment = { rest.data, slash ? (size_t)(slash - rest.data) : rest.len };
        if (!segment.len || is_dots(segment)) return false;
        if (!slash) return true;
        rest = (struct slice){ slash + 1, rest.len - segment.len - 1 };
    }
    return false;
}
