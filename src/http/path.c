#include "http/path.h"

enum {
    PLAIN =
        1, /* may stand in a path as it is (RFC 3986 3.3), and brackets, which clients leave as they are */
    UNRESERVED = 2, /* means the same encoded or not (2.3) */
    LOOK = 4,       /* not without a closer look; also the question mark, which ends the path */
    SLASH = 8,
    DOT = 16,
    AFTER_SLASH = SLASH | DOT, /* what asks for a closer look behind a slash */
};

#define ALL(first, last, class) [first... last] = (class)

/* clang-format off */
static const uint8_t classes[256] = {
    ALL(0x00, 0x20, LOOK),
    ['!'] = PLAIN, ['"'] = LOOK, ['#'] = LOOK, ['$'] = PLAIN, ['%'] = PLAIN | LOOK, ALL('&', ',', PLAIN),
    ['-'] = PLAIN | UNRESERVED, ['.'] = PLAIN | UNRESERVED | DOT, ['/'] = PLAIN | SLASH,
    ALL('0', '9', PLAIN | UNRESERVED), [':'] = PLAIN, [';'] = PLAIN | LOOK,
    ['<'] = LOOK, ['='] = PLAIN, ['>'] = LOOK, ['?'] = LOOK, ['@'] = PLAIN,
    ALL('A', 'Z', PLAIN | UNRESERVED), ['['] = PLAIN, ['\\'] = LOOK, [']'] = PLAIN, ['^'] = LOOK,
    ['_'] = PLAIN | UNRESERVED, ['`'] = LOOK, ALL('a', 'z', PLAIN | UNRESERVED),
    ALL('{', '}', LOOK), ['~'] = PLAIN | UNRESERVED, ALL(0x7f, 0xff, LOOK),
};
/* clang-format on */

static unsigned class_of(char c)
{
    return classes[(uint8_t)c];
}

const char *http_path_fault_text(enum http_path_fault fault)
{
    static const char *const texts[] = {
#define X(id, text) [HTTP_PATH_##id] = (text),
        HTTP_PATH_FAULTS(X)
#undef X
    };
    return texts[fault];
}

bool http_path_may_hold(char c)
{
    return class_of(c) & PLAIN;
}

/* Whether it is canonical at first sight, as nearly all are: no escape, no parameter, nothing to encode, and nothing
 * but a name behind each slash. */
static bool is_plain(struct slice target)
{
    unsigned look = LOOK;
    for (size_t i = 0; i < target.len; i++) {
        unsigned class = class_of(target.data[i]);
        if (class & look) return target.data[i] == '?';
        look = LOOK | ((class & SLASH) * (AFTER_SLASH / SLASH));
    }
    return true;
}

static size_t path_len(struct slice target)
{
    const char *mark = target.len ? memchr(target.data, '?', target.len) : NULL;
    return mark ? (size_t)(mark - target.data) : target.len;
}

/* the long way */

struct walk {
    const struct http_path_rules *rules;
    const char *p, *end;
    struct text *out;
    size_t root, segment; /* where in `out` the path and its last segment begin */
    bool is_odd;          /* the segment has a parameter, or what some take for a slash */
};

static int hex_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void put_encoded(struct walk *w, unsigned char byte)
{
    static const char digits[] = "0123456789ABCDEF";
    text_add(w->out, (const char[]){ '%', digits[byte >> 4], digits[byte & 15] }, 3);
}

/* The part of a segment that a server may read on its own: up to an encoded slash or backslash. */
static struct slice next_part(struct slice *rest)
{
    size_t len = 0;
    while (len < rest->len && (rest->len - len < 3 || (memcmp(rest->data + len, "%2F", 3) != 0 &&
                                                       memcmp(rest->data + len, "%5C", 3) != 0)))
        len++;
    struct slice part = { rest->data, len };
    size_t skip = len < rest->len ? len + 3 : len;
    *rest = (struct slice){ rest->data + skip, rest->len - skip };
    return part;
}

/* "/..;a/" is "/../" for those who take parameters out before they resolve dots, and "/..%2F" for those who decode
 * first; "/;a/x" is "//x". */
static enum http_path_fault check_odd(struct slice segment, bool is_last)
{
    struct slice rest = segment;
    while (rest.len) {
        struct slice part = next_part(&rest);
        const char *mark = part.len ? memchr(part.data, ';', part.len) : NULL;
        if (mark) part.len = (size_t)(mark - part.data);
        if (slice_equal(part, SLICE(".")) || slice_equal(part, SLICE(".."))) return HTTP_PATH_HIDDEN_DOTS;
        if (mark && !part.len && !is_last) return HTTP_PATH_HIDDEN_SEGMENT;
    }
    return HTTP_PATH_OK;
}

/* Takes the last segment and the one before it back. */
static enum http_path_fault go_up(struct walk *w)
{
    struct text *out = w->out;
    out->len = w->segment;
    if (w->segment == w->root + 1) return w->rules->stays_at_root ? HTTP_PATH_OK : HTTP_PATH_ABOVE_ROOT;
    do out->len--;
    while (out->data[out->len - 1] != '/');
    return HTTP_PATH_OK;
}

static enum http_path_fault end_segment(struct walk *w, bool is_last)
{
    struct slice segment = { w->out->data + w->segment, w->out->len - w->segment };
    enum http_path_fault fault = w->is_odd ? check_odd(segment, is_last) : HTTP_PATH_OK;
    bool is_dot = slice_equal(segment, SLICE(".")), is_up = slice_equal(segment, SLICE(".."));
    if ((is_dot || is_up) && w->rules->refuses_dots) fault = HTTP_PATH_DOTS;
    if (fault != HTTP_PATH_OK) return fault;
    if (is_up)
        fault = go_up(w);
    else if (is_dot)
        w->out->len = w->segment;
    else if (!is_last && (segment.len || w->rules->keeps_empty))
        text_add_char(w->out, '/');
    w->segment = w->out->len;
    w->is_odd = false;
    return fault;
}

static enum http_path_fault put_slash_like(struct walk *w, char c, bool is_kept)
{
    if (!is_kept) return c == '/' ? HTTP_PATH_SLASH : HTTP_PATH_BACKSLASH;
    put_encoded(w, (unsigned char)c);
    w->is_odd = true;
    return HTTP_PATH_OK;
}

static enum http_path_fault take_escape(struct walk *w)
{
    int high = w->end - w->p >= 3 ? hex_of(w->p[1]) : -1, low = high < 0 ? -1 : hex_of(w->p[2]);
    if (low < 0) return HTTP_PATH_ESCAPE;
    char c = (char)(high << 4 | low);
    w->p += 3;
    if (c == '/' && w->rules->encoded_slash == HTTP_PATH_SLASH_DECODE) return end_segment(w, false);
    if (c == '/') return put_slash_like(w, c, w->rules->encoded_slash == HTTP_PATH_SLASH_KEEP);
    if (c == '\\') return put_slash_like(w, c, w->rules->keeps_backslash);
    if (c == 0 && !w->rules->keeps_nul) return HTTP_PATH_NUL;
    if (class_of(c) & UNRESERVED)
        text_add_char(w->out, c);
    else
        put_encoded(w, (unsigned char)c);
    return HTTP_PATH_OK;
}

static enum http_path_fault take_byte(struct walk *w)
{
    char c = *w->p;
    if (c == '%') return take_escape(w);
    w->p++;
    if (c == '/') return end_segment(w, false);
    if (c == '\\') return put_slash_like(w, c, w->rules->keeps_backslash);
    if (c == 0 && !w->rules->keeps_nul) return HTTP_PATH_NUL;
    if (c == ';') {
        if (w->rules->refuses_parameters) return HTTP_PATH_PARAMETERS;
        w->is_odd = true;
    }
    if (class_of(c) & PLAIN)
        text_add_char(w->out, c);
    else
        put_encoded(w, (unsigned char)c);
    return HTTP_PATH_OK;
}

/* `path` begins with a slash. `out` may be where the path lies if nothing of it is to be encoded: what is written is
 * never ahead of what is read. */
static enum http_path_fault walk_path(const struct http_path_rules *rules, struct slice path,
                                      struct text *out)
{
    struct walk w = { rules, path.data + 1, path.data + path.len, out, out->len, out->len + 1, false };
    enum http_path_fault fault = HTTP_PATH_OK;
    text_add_char(out, '/');
    while (w.p < w.end && fault == HTTP_PATH_OK && !out->is_cut) fault = take_byte(&w);
    if (out->is_cut) return HTTP_PATH_TOO_LONG;
    return fault == HTTP_PATH_OK ? end_segment(&w, true) : fault;
}

/* "http://h?a=b" asks for "/?a=b" (RFC 9110 4.2.3). */
static bool lacks_path(struct slice target)
{
    return target.len && target.data[0] == '?';
}

size_t http_path_room(struct slice target)
{
    if (is_plain(target)) return target.len + lacks_path(target);
    size_t len = path_len(target), room = target.len;
    for (size_t i = 0; i < len; i++) room += class_of(target.data[i]) & PLAIN ? 0 : 2;
    if (room <= HTTP_TARGET_MAX) return room;
    return target.len < HTTP_TARGET_MAX ? HTTP_TARGET_MAX : target.len;
}

enum http_path_fault http_path_put(const struct http_path_rules *rules, struct slice target, struct text *t,
                                   struct slice *put)
{
    bool has_path = target.len && target.data[0] == '/';
    enum http_path_fault fault = HTTP_PATH_OK;
    size_t at = t->len;
    if (has_path && rules->form == HTTP_PATH_CANONICAL && !is_plain(target)) {
        size_t len = path_len(target);
        fault = walk_path(rules, (struct slice){ target.data, len }, t);
        if (fault == HTTP_PATH_OK) text_add(t, target.data + len, target.len - len);
        if (t->is_cut) fault = HTTP_PATH_TOO_LONG;
        *put = (struct slice){ t->data + at, t->len - at };
        if (fault == HTTP_PATH_OK) return fault;
        t->len = at;
        t->is_cut = false;
    }
    if (lacks_path(target)) text_add_char(t, '/');
    text_add_slice(t, target);
    *put = (struct slice){ t->data + at, t->len - at };
    return fault;
}

enum http_path_fault http_path_settle(const struct http_path_rules *rules, char *data, size_t *len)
{
    struct slice path = { data, *len };
    if (rules->form == HTTP_PATH_AS_SENT || is_plain(path)) return HTTP_PATH_OK;
    struct text out = text_over(data, path.len);
    enum http_path_fault fault = walk_path(rules, path, &out);
    *len = out.len;
    return fault;
}
