#include "admin/target.h"

#include "base/utf8.h"

struct reader {
    struct slice rest;
    char *memory; /* where the next piece goes */
    struct err *err;
};

static bool is_one_of(char c, const char *set)
{
    return c && strchr(set, c);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* pchar of RFC 3986 3.3, `%` apart, and what a query may have besides. */
static bool is_plain(char c)
{
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
    return is_one_of(c, "-._~!$&'()*+,;=:@/?");
}

static int check_decoded(struct slice piece, struct err *err)
{
    while (piece.len) {
        size_t len = utf8_sequence_len(piece);
        unsigned char c = (unsigned char)*piece.data;
        if (!len) return err_set(err, "the target's escapes do not decode to UTF-8");
        if (c < ' ' || c == 127) return err_set(err, "%%%02X is a control byte, which no name here has", c);
        piece.data += len;
        piece.len -= len;
    }
    return 0;
}

/* Decodes up to one of `ends` (which stays in r->rest) and terminates. */
static int read_piece(struct reader *r, const char *ends, bool is_query, struct slice *out)
{
    char *to = r->memory;
    while (r->rest.len && !is_one_of(*r->rest.data, ends)) {
        char c = *r->rest.data;
        size_t used = 1;
        if (c == '%') {
            int high = r->rest.len > 2 ? hex_digit(r->rest.data[1]) : -1;
            int low = r->rest.len > 2 ? hex_digit(r->rest.data[2]) : -1;
            if (high < 0 || low < 0)
                return err_set(r->err,
                               "a %% in the target is not followed by two hexadecimal digits; write %%25");
            c = (char)(high << 4 | low);
            used = 3;
        } else if (!is_plain(c)) {
            return err_set(r->err, "the byte %%%02X must be escaped in the target", (unsigned char)c);
        } else if (is_query && c == '+') {
            c = ' ';
        }
        *to++ = c;
        r->rest.data += used;
        r->rest.len -= used;
    }
    *out = (struct slice){ r->memory, (size_t)(to - r->memory) };
    *to = 0;
    r->memory = to + 1;
    return check_decoded(*out, r->err);
}

/* Takes one byte off if it is `c`. */
static bool skip(struct reader *r, char c)
{
    if (!r->rest.len || *r->rest.data != c) return false;
    r->rest.data++;
    r->rest.len--;
    return true;
}

static int read_query(struct reader *r, struct target *out)
{
    while (r->rest.len) {
        if (skip(r, '&')) continue;
        if (out->pair_count == TARGET_PAIRS_MAX)
            return err_set(r->err, "the query has more than %u parameters", TARGET_PAIRS_MAX);
        struct target_pair *pair = &out->pairs[out->pair_count++];
        if (read_piece(r, "=&", true, &pair->name) < 0) return -1;
        pair->value = (struct slice){ "", 0 };
        if (skip(r, '=') && read_piece(r, "&", true, &pair->value) < 0) return -1;
    }
    return 0;
}

int target_read(struct target *out, struct slice text, char *memory, struct err *err)
{
    struct reader r = { .rest = text, .memory = memory, .err = err };
    out->segment_count = out->pair_count = 0;
    if (!text.len || *text.data != '/') return err_set(err, "the target must begin with /");
    bool is_root = text.len == 1 || text.data[1] == '?';
    if (is_root) skip(&r, '/');
    while (skip(&r, '/')) {
        if (out->segment_count == TARGET_SEGMENTS_MAX)
            return err_set(err, "the path has more than %u parts", TARGET_SEGMENTS_MAX);
        if (read_piece(&r, "/?", false, &out->segments[out->segment_count++]) < 0) return -1;
    }
    return skip(&r, '?') ? read_query(&r, out) : 0;
}
