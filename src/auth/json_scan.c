#include "auth/json_scan.h"

#include "base/utf8.h"

static char here(const struct json_scan *s)
{
    return s->at < s->text.len ? s->text.data[s->at] : 0;
}

static void skip_space(struct json_scan *s)
{
    for (;; s->at++) {
        char c = here(s);
        if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return;
    }
}

static bool take(struct json_scan *s, char c)
{
    skip_space(s);
    if (here(s) != c || s->at == s->text.len) return false;
    s->at++;
    return true;
}

/* strings */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Of "\uXXXX" at the text's beginning; -1: it is none. */
static int32_t unit_of(struct slice text)
{
    int32_t unit = 0;
    if (text.len < 6 || text.data[0] != '\\' || text.data[1] != 'u') return -1;
    for (size_t i = 2; i < 6; i++) {
        int digit = hex_digit(text.data[i]);
        if (digit < 0) return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

/* What the escape at the text's beginning stands for, in UTF-8; *took: its length. 0: it is none. */
static size_t read_escape(struct slice text, char out[4], size_t *took)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *name = text.len > 1 && text.data[1] ? strchr(names, text.data[1]) : NULL;
    if (name) {
        *took = 2;
        out[0] = values[name - names];
        return 1;
    }
    int32_t high = unit_of(text);
    if (high < 0) return 0;
    *took = 6;
    if (high < 0xd800 || high > 0xdfff) return utf8_encode((uint32_t)high, out);
    int32_t low = unit_of((struct slice){ text.data + 6, text.len - 6 });
    if (high > 0xdbff || low < 0xdc00 || low > 0xdfff) return 0;
    *took = 12;
    return utf8_encode(0x10000 + (((uint32_t)high - 0xd800) << 10) + ((uint32_t)low - 0xdc00), out);
}

/* The next character of what a string says; *took: how much of the text that is. 0: the text is none of a string's. */
static size_t next_character(struct slice text, char out[4], size_t *took)
{
    if (text.data[0] == '\\') return read_escape(text, out, took);
    if ((unsigned char)text.data[0] < ' ' || text.data[0] == '"') return 0;
    *took = utf8_sequence_len(text);
    memcpy(out, text.data, *took);
    return *took;
}

/* Behind the opening quote. */
static bool read_string(struct json_scan *s, struct slice *written)
{
    size_t start = s->at;
    while (s->at < s->text.len && s->text.data[s->at] != '"') {
        char character[4];
        size_t took;
        if (!next_character((struct slice){ s->text.data + s->at, s->text.len - s->at }, character, &took))
            return false;
        s->at += took;
    }
    if (s->at == s->text.len) return false;
    *written = (struct slice){ s->text.data + start, s->at - start };
    s->at++;
    return true;
}

bool json_scan_is(struct slice written, struct slice plain)
{
    size_t at = 0, took = 0;
    for (size_t i = 0; i < written.len; i += took) {
        char character[4];
        size_t len = next_character((struct slice){ written.data + i, written.len - i }, character, &took);
        if (!len || plain.len - at < len || memcmp(plain.data + at, character, len) != 0) return false;
        at += len;
    }
    return at == plain.len;
}

void json_scan_put(struct slice written, struct text *out)
{
    size_t took = 0;
    for (size_t i = 0; i < written.len; i += took) {
        char character[4];
        size_t len = next_character((struct slice){ written.data + i, written.len - i }, character, &took);
        if (!len) return;
        text_add(out, character, len);
    }
}

/* numbers and words */

static size_t skip_digits(struct json_scan *s)
{
    size_t count = 0;
    for (; here(s) >= '0' && here(s) <= '9'; s->at++) count++;
    return count;
}

/* RFC 8259 6 */
static bool skip_number(struct json_scan *s)
{
    if (here(s) == '-') s->at++;
    bool is_zero = here(s) == '0';
    size_t count = skip_digits(s);
    if (!count || (is_zero && count > 1)) return false;
    if (here(s) == '.') {
        s->at++;
        if (!skip_digits(s)) return false;
    }
    if ((here(s) | 0x20) == 'e') {
        s->at++;
        if (here(s) == '+' || here(s) == '-') s->at++;
        if (!skip_digits(s)) return false;
    }
    return true;
}

static bool skip_word(struct json_scan *s)
{
    static const struct slice words[] = { { "true", 4 }, { "false", 5 }, { "null", 4 } };
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if (!slice_starts_with((struct slice){ s->text.data + s->at, s->text.len - s->at }, words[i]))
            continue;
        s->at += words[i].len;
        return true;
    }
    return false;
}

/* values */

static bool skip_key(struct json_scan *s, struct slice *key)
{
    return take(s, '"') && read_string(s, key) && take(s, ':');
}

/* Which of the open brackets are objects': the innermost is the last bit. */
struct nest {
    uint32_t objects;
    unsigned depth;
};

/* Behind an opening bracket. *is_over: it has nothing in it and is closed again. */
static bool begin_nested(struct json_scan *s, struct nest *n, bool is_object, bool *is_over)
{
    struct slice key;
    if (n->depth == JSON_SCAN_DEPTH_MAX) return false;
    *is_over = take(s, is_object ? '}' : ']');
    if (*is_over) return true;
    n->depth++;
    n->objects = n->objects << 1 | is_object;
    return !is_object || skip_key(s, &key);
}

/* Behind a value: closes what ends there. *is_over: nothing is open any more; else another value follows. */
static bool end_nested(struct json_scan *s, struct nest *n, bool *is_over)
{
    struct slice key;
    while (n->depth) {
        bool is_object = n->objects & 1;
        *is_over = false;
        if (take(s, ',')) return !is_object || skip_key(s, &key);
        if (!take(s, is_object ? '}' : ']')) return false;
        n->depth--;
        n->objects >>= 1;
    }
    *is_over = true;
    return true;
}

static bool skip_scalar(struct json_scan *s)
{
    struct slice written;
    if (take(s, '"')) return read_string(s, &written);
    char c = here(s);
    return c == '-' || (c >= '0' && c <= '9') ? skip_number(s) : skip_word(s);
}

static bool skip_value(struct json_scan *s)
{
    struct nest n = { 0, 0 };
    for (bool is_over = false; !is_over;) {
        bool is_object = take(s, '{'), is_empty = false;
        if (is_object || take(s, '[')) {
            if (!begin_nested(s, &n, is_object, &is_empty)) return false;
            if (!is_empty) continue;
        } else if (!skip_scalar(s)) {
            return false;
        }
        if (!end_nested(s, &n, &is_over)) return false;
    }
    return true;
}

static bool read_value(struct json_scan *s, struct json_scan_value *value)
{
    skip_space(s);
    size_t start = s->at;
    switch (here(s)) {
    case '"': value->kind = JSON_SCAN_STRING; break;
    case '[': value->kind = JSON_SCAN_ARRAY; break;
    case '{': value->kind = JSON_SCAN_OBJECT; break;
    case 't':
    case 'f':
    case 'n': value->kind = JSON_SCAN_WORD; break;
    default: value->kind = JSON_SCAN_NUMBER; break;
    }
    if (!skip_value(s)) return false;
    size_t quote = value->kind == JSON_SCAN_STRING;
    value->text = (struct slice){ s->text.data + start + quote, s->at - start - 2 * quote };
    return true;
}

static void begin(struct json_scan *s, struct slice text, bool is_object)
{
    *s = (struct json_scan){ .text = text, .is_object = is_object, .is_first = true };
    s->is_broken = !take(s, is_object ? '{' : '[');
}

void json_scan_object(struct json_scan *s, struct slice text)
{
    begin(s, text, true);
}

void json_scan_array(struct json_scan *s, struct slice text)
{
    begin(s, text, false);
}

/* The closing bracket is the last of it. */
static bool is_at_end(struct json_scan *s)
{
    skip_space(s);
    return s->at == s->text.len;
}

bool json_scan_next(struct json_scan *s, struct slice *key, struct json_scan_value *value)
{
    *key = SLICE_NONE;
    if (s->is_broken) return false;
    if (take(s, s->is_object ? '}' : ']')) {
        s->is_broken = !is_at_end(s);
        /* Asked once more it has nothing more to say. */
        s->text.len = s->at = 0;
        s->is_first = false;
        return false;
    }
    bool is_good = s->is_first || take(s, ',');
    if (!is_good && !s->text.len) return false;
    if (is_good && s->is_object) is_good = skip_key(s, key);
    if (is_good) is_good = read_value(s, value);
    s->is_first = false;
    s->is_broken = !is_good;
    return is_good;
}
