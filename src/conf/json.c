/* The reader of request bodies: RFC 8259, strictly. What the RFC leaves open is refused where readers
 * differ: keys that occur twice, surrogates without their other half. Numbers stay text. No recursion: the
 * builder's levels are the stack. */
#include "base/utf8.h"
#include "conf/tree.h"

struct reader {
    struct conf_builder builder;
    struct conf_cursor cursor;
    struct slice source;
    size_t at;
};

/* What may come next. */
enum expect {
    EXPECT_VALUE,
    EXPECT_FIRST,
    EXPECT_KEY,
    EXPECT_FIRST_KEY,
    EXPECT_NEXT,
    EXPECT_END,
    EXPECT_NOTHING
};

static struct conf_place place_at(struct reader *r, size_t offset)
{
    return conf_cursor_to_offset(&r->cursor, offset);
}

static bool is_at_end(const struct reader *r)
{
    return r->at == r->source.len;
}

static char here(const struct reader *r)
{
    return is_at_end(r) ? 0 : r->source.data[r->at];
}

/* Says what is there instead of what should be; always EXPECT_NOTHING. */
static enum expect refuse_json(struct reader *r, const char *expected)
{
    struct conf_place place = place_at(r, r->at);
    struct slice rest = { r->source.data + r->at, r->source.len - r->at };
    if (!rest.len) {
        conf_fault_add(r->builder.faults, place, "", "not correct JSON: expected %s, but the text ends here",
                       expected);
        return EXPECT_NOTHING;
    }
    size_t len = utf8_sequence_len(rest);
    if (len)
        conf_fault_add(r->builder.faults, place, "", "not correct JSON: expected %s, found %.*s", expected,
                       (int)len, rest.data);
    else
        conf_fault_add(r->builder.faults, place, "send UTF-8", "the byte 0x%02x here is not UTF-8",
                       (unsigned char)*rest.data);
    return EXPECT_NOTHING;
}

static int refuse_at(struct reader *r, size_t offset, const char *sentence, const char *remedy)
{
    conf_fault_add(r->builder.faults, place_at(r, offset), remedy, "not correct JSON: %s", sentence);
    return -1;
}

static void skip_space(struct reader *r)
{
    while (!is_at_end(r)) {
        char c = here(r);
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
        r->at++;
    }
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits at `offset`; -1 if they are not. */
static int32_t hex_four(const struct reader *r, size_t offset)
{
    int32_t value = 0;
    for (size_t i = offset; i < offset + 4; i++) {
        int digit = i < r->source.len ? hex_digit(r->source.data[i]) : -1;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Behind "\u": one code point, of two escapes if they are a pair of surrogates. */
static int read_unicode(struct reader *r, char *out, size_t *len)
{
    size_t escape = r->at - 2;
    int32_t high = hex_four(r, r->at);
    if (high < 0) return refuse_at(r, escape, "\\u is not followed by four hexadecimal digits", "");
    r->at += 4;
    if (high < 0xd800 || high > 0xdfff) {
        *len += utf8_encode((uint32_t)high, out + *len);
        return 0;
    }
    bool has_second = r->source.len - r->at >= 2 && r->source.data[r->at] == '\\' &&
                      r->source.data[r->at + 1] == 'u';
    int32_t low = has_second ? hex_four(r, r->at + 2) : -1;
    if (high > 0xdbff || low < 0xdc00 || low > 0xdfff)
        return refuse_at(r, escape, "half of a surrogate pair is not a character",
                         "write both halves, or the character");
    r->at += 6;
    uint32_t code_point = 0x10000 + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00);
    *len += utf8_encode(code_point, out + *len);
    return 0;
}

static int read_escape(struct reader *r, char *out, size_t *len)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    size_t escape = r->at++;
    char c = here(r);
    const char *name = c ? strchr(names, c) : NULL;
    if (!is_at_end(r)) r->at++;
    if (name) {
        out[(*len)++] = values[name - names];
        return 0;
    }
    if (c == 'u') return read_unicode(r, out, len);
    return refuse_at(r, escape, "no such escape", "a backslash itself is written \\\\");
}

/* How many bytes the string at the quote may take at the most: an escape is never shorter than what it
 * means. */
static size_t string_bytes_max(const struct reader *r)
{
    size_t end = r->at + 1;
    while (end < r->source.len && r->source.data[end] != '"') end += r->source.data[end] == '\\' ? 2 : 1;
    return end - r->at;
}

static int read_string(struct reader *r, struct slice *text)
{
    size_t len = 0, start = r->at;
    char *out = conf_arena_alloc(r->builder.tree->memory, string_bytes_max(r) + 1);
    if (!out) return -1;
    r->at++;
    while (!is_at_end(r) && here(r) != '"') {
        struct slice rest = { r->source.data + r->at, r->source.len - r->at };
        if (here(r) == '\\') {
            if (read_escape(r, out, &len) < 0) return -1;
            continue;
        }
        if ((unsigned char)here(r) < ' ')
            return refuse_at(r, r->at, "a control character within a string",
                             "write it as an escape, like \\n");
        size_t bytes = utf8_sequence_len(rest);
        if (!bytes) {
            refuse_json(r, "text");
            return -1;
        }
        memcpy(out + len, rest.data, bytes);
        len += bytes;
        r->at += bytes;
    }
    if (is_at_end(r)) return refuse_at(r, start, "the string that begins here has no end", "");
    r->at++;
    *text = (struct slice){ out, len };
    return 0;
}

static size_t count_digits(const struct reader *r, size_t at)
{
    size_t count = 0;
    while (at + count < r->source.len && r->source.data[at + count] >= '0' &&
           r->source.data[at + count] <= '9')
        count++;
    return count;
}

/* RFC 8259 6: -? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?  Its length, or 0 if there is none. */
static size_t number_len(const struct reader *r)
{
    size_t at = r->at + (here(r) == '-'), digits = count_digits(r, at);
    if (!digits || (digits > 1 && r->source.data[at] == '0')) return 0;
    at += digits;
    if (at < r->source.len && r->source.data[at] == '.') {
        digits = count_digits(r, at + 1);
        if (!digits) return 0;
        at += 1 + digits;
    }
    if (at < r->source.len && (r->source.data[at] | 0x20) == 'e') {
        at++;
        if (at < r->source.len && (r->source.data[at] == '+' || r->source.data[at] == '-')) at++;
        digits = count_digits(r, at);
        if (!digits) return 0;
        at += digits;
    }
    return at - r->at;
}

static enum expect after_value(const struct reader *r, const struct conf_node *node)
{
    if (!node) return EXPECT_NOTHING;
    return r->builder.depth ? EXPECT_NEXT : EXPECT_END;
}

/* true, false, null, a number: what is neither string nor bracket. */
static enum expect read_literal(struct reader *r)
{
    static const struct slice words[] = { { "true", 4 }, { "false", 5 }, { "null", 4 } };
    struct slice rest = { r->source.data + r->at, r->source.len - r->at };
    struct conf_place place = place_at(r, r->at);
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (!slice_starts_with(rest, words[i])) continue;
        r->at += words[i].len;
        return after_value(r, i == 2 ? conf_builder_null(&r->builder, place)
                                     : conf_builder_scalar(&r->builder, place, words[i], false));
    }
    if (here(r) != '-' && !count_digits(r, r->at)) return refuse_json(r, "a value");
    rest.len = number_len(r);
    if (!rest.len) {
        refuse_at(r, r->at, "not a number", "");
        return EXPECT_NOTHING;
    }
    r->at += rest.len;
    return after_value(r, conf_builder_scalar(&r->builder, place, rest, false));
}

static enum expect close_level(struct reader *r)
{
    r->at++;
    conf_builder_close(&r->builder);
    return r->builder.depth ? EXPECT_NEXT : EXPECT_END;
}

static enum expect read_value(struct reader *r, bool is_first)
{
    struct conf_place place = place_at(r, r->at);
    struct slice text;
    switch (here(r)) {
    case '{':
    case '[': {
        bool is_map = here(r) == '{';
        r->at++;
        if (!conf_builder_open(&r->builder, place, is_map ? CONF_NODE_MAP : CONF_NODE_LIST))
            return EXPECT_NOTHING;
        return is_map ? EXPECT_FIRST_KEY : EXPECT_FIRST;
    }
    case '"':
        if (read_string(r, &text) < 0) return EXPECT_NOTHING;
        return after_value(r, conf_builder_scalar(&r->builder, place, text, true));
    case ']':
        if (is_first) return close_level(r);
        return refuse_json(r, "a value");
    default: return read_literal(r);
    }
}

static enum expect read_key(struct reader *r, bool is_first)
{
    struct conf_place place = place_at(r, r->at);
    struct slice key;
    if (is_first && here(r) == '}') return close_level(r);
    if (here(r) != '"') return refuse_json(r, is_first ? "a key in quotes or }" : "a key in quotes");
    if (read_string(r, &key) < 0) return EXPECT_NOTHING;
    conf_builder_key(&r->builder, place, key);
    skip_space(r);
    if (here(r) != ':') return refuse_json(r, "a colon");
    r->at++;
    return EXPECT_VALUE;
}

static enum expect read_next(struct reader *r)
{
    bool is_map = r->builder.levels[r->builder.depth - 1].node->kind == CONF_NODE_MAP;
    if (here(r) == (is_map ? '}' : ']')) return close_level(r);
    if (here(r) != ',') return refuse_json(r, is_map ? "a comma or }" : "a comma or ]");
    r->at++;
    return is_map ? EXPECT_KEY : EXPECT_VALUE;
}

int conf_read_json(struct conf_tree *tree, const char *source_name, struct slice bytes,
                   struct conf_faults *faults)
{
    struct reader r = { 0 };
    enum expect expect = EXPECT_VALUE;
    if (conf_builder_start(&r.builder, tree, source_name, bytes, faults) < 0) return -1;
    r.source = tree->source;
    r.cursor = conf_cursor_start(r.source);
    while (expect != EXPECT_NOTHING) {
        skip_space(&r);
        switch (expect) {
        case EXPECT_VALUE:
        case EXPECT_FIRST: expect = read_value(&r, expect == EXPECT_FIRST); break;
        case EXPECT_KEY:
        case EXPECT_FIRST_KEY: expect = read_key(&r, expect == EXPECT_FIRST_KEY); break;
        case EXPECT_NEXT: expect = read_next(&r); break;
        default:
            expect = EXPECT_NOTHING;
            if (!is_at_end(&r)) refuse_json(&r, "nothing more");
        }
    }
    return conf_builder_result(&r.builder);
}
