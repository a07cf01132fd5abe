#include "http/template.h"

#include "conf/decode.h"
#include "conf/tree.h"
#include "http/h1_scan.h"

#define SOURCE_COUNT (HTTP_SOURCE_ARG + 1)

static const char *const source_names[SOURCE_COUNT] = {
    [HTTP_SOURCE_TEXT] = "", /* never written */
    [HTTP_SOURCE_CLIENT] = "client", [HTTP_SOURCE_HOST] = "host",
    [HTTP_SOURCE_PATH] = "path",     [HTTP_SOURCE_QUERY] = "query",
    [HTTP_SOURCE_TARGET] = "target", [HTTP_SOURCE_METHOD] = "method",
    [HTTP_SOURCE_SCHEME] = "scheme", [HTTP_SOURCE_REQUEST_ID] = "request_id",
    [HTTP_SOURCE_USER] = "user",     [HTTP_SOURCE_HEADER] = "header",
    [HTTP_SOURCE_COOKIE] = "cookie", [HTTP_SOURCE_ARG] = "arg",
};

bool http_source_takes_name(enum http_source source)
{
    return source >= HTTP_SOURCE_HEADER;
}

const char *http_source_word(enum http_source source)
{
    return source_names[source];
}

/* Cookies and arguments are named more freely than the standards have it ("a[b]"), so only what could never be
 * found is refused. */
static bool may_be_in_name(enum http_source source, char c)
{
    if (source == HTTP_SOURCE_HEADER) return h1_is(c, H1_TOKEN);
    if (!h1_is(c, H1_TARGET) || c == '=') return false;
    return c != (source == HTTP_SOURCE_COOKIE ? ';' : '&');
}

bool http_source_may_name(enum http_source source, struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (!may_be_in_name(source, name.data[i])) return false;
    return name.len > 0;
}

bool http_source_named(struct slice word, enum http_source *out)
{
    for (enum http_source s = HTTP_SOURCE_CLIENT; s < SOURCE_COUNT; s++) {
        *out = s;
        if (slice_equal(word, slice_of(source_names[s]))) return true;
    }
    return false;
}

static int find_source(struct slice word, enum http_source *out, struct err *err)
{
    if (http_source_named(word, out)) return 0;
    const char *near = conf_nearest(word, source_names + 1, SOURCE_COUNT - 1);
    if (near)
        return err_set(err, "there is no source \"%.*s\"; did you mean \"%s\"?", SLICE_ARGS(conf_clip(word)),
                       near);
    return err_set(
        err,
        "there is no source \"%.*s\"; there are client, host, path, query, target, method, scheme, "
        "request_id, user, header:NAME, cookie:NAME and arg:NAME",
        SLICE_ARGS(conf_clip(word)));
}

static int add_part(struct http_template *t, enum http_source source, size_t at, size_t len, struct err *err)
{
    if (source == HTTP_SOURCE_TEXT && !len) return 0;
    if (t->count == HTTP_TEMPLATE_PARTS_MAX)
        return err_set(err, "this text has more than %u pieces; leave out sources or doubled braces",
                       HTTP_TEMPLATE_PARTS_MAX);
    t->parts[t->count++] =
        (struct http_template_part){ .source = (uint8_t)source, .at = (uint16_t)at, .len = (uint16_t)len };
    return 0;
}

/* The bytes at..end of the text are "client" or "header:X-User". */
static int add_source(struct http_template *t, size_t at, size_t end, struct err *err)
{
    struct slice whole = { t->text + at, end - at };
    const char *colon = whole.len ? memchr(whole.data, ':', whole.len) : NULL;
    struct slice word = { whole.data, colon ? (size_t)(colon - whole.data) : whole.len };
    struct slice name = { colon ? colon + 1 : whole.data + whole.len,
                          whole.len - word.len - (colon != NULL) };
    enum http_source source;
    if (find_source(word, &source, err) < 0) return -1;
    if (!http_source_takes_name(source) && colon)
        return err_set(err, "\"%.*s\" takes no name; write %s alone", SLICE_ARGS(conf_clip(whole)),
                       source_names[source]);
    if (http_source_takes_name(source) && !name.len)
        return err_set(err, "\"%.*s\" lacks a name; write %s:NAME", SLICE_ARGS(conf_clip(whole)),
                       source_names[source]);
    for (size_t i = 0; http_source_takes_name(source) && i < name.len; i++)
        if (!may_be_in_name(source, name.data[i]))
            return err_set(err, "\"%.*s\" has a byte that no name of this kind has, 0x%02x",
                           SLICE_ARGS(conf_clip(whole)), (unsigned char)name.data[i]);
    return add_part(t, source, end - name.len, name.len, err);
}

/* A piece of literal text ends at each brace: behind the first of a pair, which so stands for itself, or before the
 * one that opens a source. `literal` is where the piece began. Returns where the next one does, or -1. */
static int add_until_brace(struct http_template *t, size_t literal, size_t brace, struct err *err)
{
    const char *text = t->text;
    size_t next = brace + 1;
    if (next < t->text_len && text[next] == text[brace])
        return add_part(t, HTTP_SOURCE_TEXT, literal, next - literal, err) < 0 ? -1 : (int)next + 1;
    if (text[brace] == '}')
        return err_set(err, "byte %zu closes a brace that was not opened; write }} for a brace itself", next);
    const char *end = memchr(text + next, '}', t->text_len - next);
    if (!end)
        return err_set(err, "the brace at byte %zu is not closed; close it, or write {{ for a brace itself",
                       next);
    if (add_part(t, HTTP_SOURCE_TEXT, literal, brace - literal, err) < 0) return -1;
    if (add_source(t, next, (size_t)(end - text), err) < 0) return -1;
    return (int)(end - text) + 1;
}

static int take_text(struct slice text, struct http_template *t, struct err *err)
{
    t->count = 0;
    t->text_len = 0;
    if (text.len > sizeof(t->text))
        return err_set(err, "this text may have %u bytes, it has %zu", HTTP_TEMPLATE_TEXT_MAX, text.len);
    if (text.len) memcpy(t->text, text.data, text.len);
    t->text_len = (uint16_t)text.len;
    for (size_t i = 0; i < text.len; i++)
        if (!h1_is(text.data[i], H1_VALUE))
            return err_set(err, "byte %zu of this text is the control character 0x%02x", i + 1,
                           (unsigned char)text.data[i]);
    return 0;
}

static int read_parts(struct http_template *t, struct err *err)
{
    size_t literal = 0;
    for (size_t at = 0; at < t->text_len;) {
        if (t->text[at] != '{' && t->text[at] != '}') {
            at++;
            continue;
        }
        int next = add_until_brace(t, literal, at, err);
        if (next < 0) return -1;
        literal = at = (size_t)next;
    }
    return add_part(t, HTTP_SOURCE_TEXT, literal, t->text_len - literal, err);
}

int http_template_parse(struct slice text, struct http_template *out, struct err *err)
{
    return take_text(text, out, err) < 0 ? -1 : read_parts(out, err);
}

int http_template_parse_source(struct slice text, struct http_template *out, struct err *err)
{
    if (take_text(text, out, err) < 0) return -1;
    bool has_braces = text.len && (memchr(text.data, '{', text.len) || memchr(text.data, '}', text.len));
    return has_braces ? read_parts(out, err) : add_source(out, 0, text.len, err);
}

bool http_template_asks(const struct http_template *t, enum http_source source)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->parts[i].source == source) return true;
    return false;
}

void http_template_print(const struct http_template *t, struct text *out)
{
    text_add(out, t->text, t->text_len);
}

static struct slice part_text(const struct http_template *t, const struct http_template_part *part)
{
    return (struct slice){ t->text + part->at, part->len };
}

/* Returns whether there was one that is not empty. */
static bool add_values(const struct http_template *t, const struct http_template_part *part,
                       const struct http_template_input *in, struct text *out)
{
    char scratch[HTTP_SOURCE_SCRATCH];
    struct slice value;
    uint32_t at = 0;
    bool has_value = false;
    for (bool is_first = true;
         http_source_next((enum http_source)part->source, part_text(t, part), in, scratch, &at, &value);
         is_first = false) {
        if (!is_first) TEXT_LITERAL(out, ", ");
        text_add_slice(out, value);
        has_value |= value.len > 0;
    }
    return has_value;
}

bool http_template_expand(const struct http_template *t, const struct http_template_input *in,
                          struct text *out)
{
    const struct text before = *out;
    bool has_source = false, has_value = false;
    for (uint32_t i = 0; i < t->count; i++) {
        const struct http_template_part *part = &t->parts[i];
        if (part->source == HTTP_SOURCE_TEXT) {
            text_add_slice(out, part_text(t, part));
            continue;
        }
        has_source = true;
        has_value |= add_values(t, part, in, out);
    }
    if (!has_source || has_value) return true;
    *out = before;
    return false;
}

struct slice http_template_single(const struct http_template *t, const struct http_template_input *in,
                                  char scratch[HTTP_SOURCE_SCRATCH], bool *is_single)
{
    const struct http_template_part *part = &t->parts[0];
    struct slice value = SLICE_NONE, another;
    uint32_t at = 0;
    *is_single = t->count == 1 && part->source != HTTP_SOURCE_TEXT;
    if (!*is_single) return SLICE_NONE;
    if (!http_source_next((enum http_source)part->source, part_text(t, part), in, scratch, &at, &value))
        return SLICE_NONE;
    *is_single = part->source != HTTP_SOURCE_HEADER ||
                 !http_source_next(HTTP_SOURCE_HEADER, part_text(t, part), in, scratch, &at, &another);
    return *is_single ? value : SLICE_NONE;
}

static struct slice fold_host(struct slice authority, char scratch[HTTP_SOURCE_SCRATCH])
{
    size_t len = authority.len;
    while (len && h1_is(authority.data[len - 1], H1_DIGIT)) len--;
    len = len && authority.data[len - 1] == ':' ? len - 1 : authority.len;
    if (!len || len > HTTP_SOURCE_SCRATCH) return SLICE_NONE;
    for (size_t i = 0; i < len; i++) {
        char c = authority.data[i];
        scratch[i] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
    }
    return (struct slice){ scratch, len };
}

static struct slice client_text(const struct ip *client, char scratch[HTTP_SOURCE_SCRATCH])
{
    _Static_assert(HTTP_SOURCE_SCRATCH >= INET6_ADDRSTRLEN, "an address fits the scratch");
    return client ? slice_of(ip_print(client, scratch)) : SLICE_NONE;
}

struct slice http_source_value(enum http_source source, struct slice name,
                               const struct http_template_input *in, char scratch[HTTP_SOURCE_SCRATCH])
{
    const struct http_head *head = in->head;
    switch (source) {
    case HTTP_SOURCE_TEXT: return name;
    case HTTP_SOURCE_CLIENT: return client_text(in->client, scratch);
    case HTTP_SOURCE_HOST: return fold_host(head->authority, scratch);
    case HTTP_SOURCE_PATH: return http_target_path(head->target);
    case HTTP_SOURCE_QUERY: return http_target_query(head->target);
    case HTTP_SOURCE_TARGET: return head->target;
    case HTTP_SOURCE_METHOD: return head->method_text;
    case HTTP_SOURCE_SCHEME: return in->is_secure || head->scheme.len == 5 ? SLICE("https") : SLICE("http");
    case HTTP_SOURCE_REQUEST_ID: return in->request_id;
    case HTTP_SOURCE_USER: return in->user;
    case HTTP_SOURCE_HEADER: return http_field_value(http_head_find_name(head, name));
    /* The first: all of them together would be another one as soon as a stale one expires. */
    case HTTP_SOURCE_COOKIE: return http_cookie_value(head, name);
    case HTTP_SOURCE_ARG: return http_query_value(http_target_query(head->target), name);
    }
    return SLICE_NONE;
}

bool http_source_next(enum http_source source, struct slice name, const struct http_template_input *in,
                      char scratch[HTTP_SOURCE_SCRATCH], uint32_t *at, struct slice *value)
{
    if (source != HTTP_SOURCE_HEADER) {
        if ((*at)++) return false;
        *value = http_source_value(source, name, in, scratch);
        return value->data;
    }
    while (*at < in->head->field_count) {
        const struct http_field *f = &in->head->fields[(*at)++];
        if (f->is_dropped || !slice_equal_fold((struct slice){ f->name, f->name_len }, name)) continue;
        *value = http_field_value(f);
        return true;
    }
    return false;
}

static const char *question_mark(struct slice target)
{
    return target.len ? memchr(target.data, '?', target.len) : NULL;
}

struct slice http_target_path(struct slice target)
{
    const char *mark = question_mark(target);
    return (struct slice){ target.data, mark ? (size_t)(mark - target.data) : target.len };
}

struct slice http_target_query(struct slice target)
{
    const char *mark = question_mark(target);
    if (!mark) return SLICE_NONE;
    return (struct slice){ mark + 1, target.len - (size_t)(mark + 1 - target.data) };
}

/* Takes what comes before the next `separator` off `rest`; false when nothing is left. */
static bool next_pair(struct slice *rest, char separator, struct slice *pair)
{
    if (!rest->len) return false;
    const char *end = memchr(rest->data, separator, rest->len);
    size_t len = end ? (size_t)(end - rest->data) : rest->len;
    *pair = (struct slice){ rest->data, len };
    rest->data += len + (end != NULL);
    rest->len -= len + (end != NULL);
    return true;
}

/* Whether the pair begins with `name` and an equals sign or its end. */
static bool is_of_name(struct slice pair, struct slice name)
{
    return slice_starts_with(pair, name) && (pair.len == name.len || pair.data[name.len] == '=');
}

/* Its value has a place even if it is empty. */
static struct slice value_behind(struct slice pair, size_t name_len)
{
    size_t skip = name_len < pair.len ? name_len + 1 : name_len;
    return (struct slice){ pair.data + skip, pair.len - skip };
}

bool http_cookies_next(struct http_cookies *walk, struct slice *value)
{
    for (;;) {
        struct slice pair;
        while (next_pair(&walk->rest, ';', &pair)) {
            pair = slice_trim(pair);
            if (pair.len <= walk->name.len || !is_of_name(pair, walk->name)) continue;
            *value = value_behind(pair, walk->name.len);
            return true;
        }
        if (walk->next == walk->head->field_count || !walk->name.len) return false;
        const struct http_field *f = &walk->head->fields[walk->next++];
        if (!f->is_dropped && slice_equal_fold((struct slice){ f->name, f->name_len }, SLICE("cookie")))
            walk->rest = http_field_value(f);
    }
}

struct slice http_cookie_value(const struct http_head *head, struct slice name)
{
    struct http_cookies walk = { .head = head, .name = name };
    struct slice value;
    return http_cookies_next(&walk, &value) ? value : SLICE_NONE;
}

static int hex_of(char c)
{
    if (h1_is(c, H1_DIGIT)) return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool http_query_is(struct slice encoded, struct slice plain)
{
    size_t at = 0;
    for (size_t i = 0; i < encoded.len; i++, at++) {
        char c = encoded.data[i];
        int high = c == '%' && encoded.len - i > 2 ? hex_of(encoded.data[i + 1]) : -1;
        int low = high < 0 ? -1 : hex_of(encoded.data[i + 2]);
        if (c == '+') c = ' ';
        if (low >= 0) {
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (at == plain.len || plain.data[at] != c) return false;
    }
    return at == plain.len;
}

bool http_query_next(struct slice *query, struct slice *name, struct slice *value)
{
    struct slice pair;
    if (!next_pair(query, '&', &pair)) return false;
    const char *equals = pair.len ? memchr(pair.data, '=', pair.len) : NULL;
    *name = (struct slice){ pair.data, equals ? (size_t)(equals - pair.data) : pair.len };
    *value = value_behind(pair, name->len);
    return true;
}

struct slice http_query_value(struct slice query, struct slice name)
{
    struct slice found, value;
    while (name.len && http_query_next(&query, &found, &value))
        if (http_query_is(found, name)) return value;
    return SLICE_NONE;
}

bool http_location_is_whole(struct slice location)
{
    size_t at = 0;
    while (at < location.len && h1_is(location.data[at], H1_TOKEN)) at++; /* a scheme, if it has one */
    struct slice rest = { location.data + at, location.len - at };
    if (slice_starts_with(rest, SLICE("://")))
        at += 3;
    else if (at == 0 && slice_starts_with(rest, SLICE("//")))
        at += 2;
    else
        return location.len > 0;
    if (at == location.len) return false;
    char c = location.data[at];
    return c != '/' && c != '?' && c != '#' && c != ':';
}

static int parse_template(struct slice text, void *out, struct err *err)
{
    return http_template_parse(text, out, err);
}

static int parse_source(struct slice text, void *out, struct err *err)
{
    return http_template_parse_source(text, out, err);
}

static void print_template(const void *value, struct text *out)
{
    http_template_print(value, out);
}

const struct conf_type http_template_type = {
    .name = "text with sources",
    .size = sizeof(struct http_template),
    .parse = parse_template,
    .print = print_template,
    .pattern_help = "https://{host}{target}",
};

const struct conf_type http_source_type = {
    .name = "source",
    .size = sizeof(struct http_template),
    .parse = parse_source,
    .print = print_template,
    .pattern_help = "header:X-User",
};
