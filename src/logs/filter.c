#include "logs/filter.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"
#include "conf/decode.h"
#include "logs/entry_value.h"
#include "logs/filter_tree.h"

struct parser {
    struct filter *f;
    struct slice all;
    size_t at;
    uint32_t depth;
    struct err *err;
};

static const struct {
    struct slice name;
    enum filter_subject subject;
    enum log_field field;
} names[] = {
#define NAME(text, subject, field)                 \
    {                                              \
        { text, sizeof(text) - 1 }, subject, field \
    }
    NAME("status", FILTER_STATUS, LOG_STATUS),
    NAME("bytes", FILTER_BYTES, LOG_BYTES),
    NAME("request_time", FILTER_REQUEST, LOG_REQUEST_TIME),
    NAME("upstream_time", FILTER_UPSTREAM, LOG_UPSTREAM_TIME),
    NAME("time", FILTER_TIME, LOG_TIME_LOCAL),
    NAME("client", FILTER_CLIENT, LOG_CLIENT),
    NAME("method", FILTER_METHOD, LOG_METHOD),
    NAME("path", FILTER_PATH, LOG_TARGET),
    NAME("target", FILTER_FIELD, LOG_TARGET),
    NAME("host", FILTER_FIELD, LOG_HOST),
    NAME("agent", FILTER_FIELD, LOG_AGENT),
    NAME("referer", FILTER_FIELD, LOG_REFERER),
    NAME("upstream", FILTER_FIELD, LOG_UPSTREAM),
    NAME("variant", FILTER_FIELD, LOG_VARIANT),
#undef NAME
};

/* words */

static void say_fault_at(struct parser *p, size_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void say_fault_at(struct parser *p, size_t at, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    err_set(p->err, "column %zu: %s", at + 1, text);
}

#define FAULT_AT(p, at, ...) (say_fault_at((p), (at), __VA_ARGS__), -1)
#define FAULT(p, ...) FAULT_AT((p), (p)->at, __VA_ARGS__)

static void skip_blanks(struct parser *p)
{
    while (p->at < p->all.len && (p->all.data[p->at] == ' ' || p->all.data[p->at] == '\t')) p->at++;
}

static bool take_token(struct parser *p, const char *token)
{
    size_t len = strlen(token);
    skip_blanks(p);
    if (p->all.len - p->at < len || memcmp(p->all.data + p->at, token, len) != 0) return false;
    p->at += len;
    return true;
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("_.:/+-*%@", c));
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static struct slice keep_text(struct filter *f, struct slice s)
{
    char *to = f->text + f->text_used;
    memcpy(to, s.data, s.len);
    f->text_used += (uint32_t)s.len;
    return (struct slice){ to, s.len };
}

/* "text", with \" and \\; or a word. Never longer than what it was read from, so the filter's memory holds all. */
static int read_value(struct parser *p, struct slice *out)
{
    skip_blanks(p);
    size_t from = p->at;
    if (p->at < p->all.len && p->all.data[p->at] == '"') {
        struct filter *f = p->f;
        char *to = f->text + f->text_used;
        size_t len = 0;
        for (p->at++; p->at < p->all.len && p->all.data[p->at] != '"'; p->at++) {
            bool is_escape = p->all.data[p->at] == '\\' && p->at + 1 < p->all.len &&
                             (p->all.data[p->at + 1] == '"' || p->all.data[p->at + 1] == '\\');
            /* Only these two: a regular expression keeps its other backslashes. */
            if (is_escape && p->all.data[p->at + 1] == '"') p->at++;
            to[len++] = p->all.data[p->at];
            if (is_escape && p->all.data[p->at] == '\\') to[len++] = p->all.data[++p->at];
        }
        if (p->at == p->all.len) return FAULT_AT(p, from, "the text that begins here has no closing quote");
        p->at++;
        f->text_used += (uint32_t)len;
        *out = (struct slice){ to, len };
        return 0;
    }
    while (p->at < p->all.len && is_word_char(p->all.data[p->at])) p->at++;
    if (p->at == from) return FAULT(p, "a value is missing; write a number, a word or \"text\"");
    *out = keep_text(p->f, (struct slice){ p->all.data + from, p->at - from });
    return 0;
}

/* nodes */

static int new_node(struct parser *p, enum filter_kind kind, uint32_t *out)
{
    struct filter *f = p->f;
    if (f->node_count == FILTER_NODES_MAX)
        return FAULT(p, "the filter has more than %u parts", FILTER_NODES_MAX);
    *out = f->node_count++;
    f->nodes[*out] = (struct filter_node){
        .kind = (uint8_t)kind, .first = FILTER_NONE, .next = FILTER_NONE, .field = LOG_FIELD_MAX
    };
    return 0;
}

static int read_number_value(struct parser *p, struct filter_node *n, struct slice text, size_t at)
{
    struct err err = { "" };
    uint64_t ms;
    switch (n->subject) {
    case FILTER_STATUS:
        if (entry_u64(text, &n->number)) return 0;
        return FAULT_AT(p, at, "\"%.*s\" is no status; write a number like 502", SLICE_ARGS(text));
    case FILTER_BYTES:
        if (entry_u64(text, &n->number) || quantity_parse_bytes(text, &n->number, &err) == 0) return 0;
        return FAULT_AT(p, at, "\"%.*s\" is no size; write one like 1000 or 1MiB", SLICE_ARGS(text));
    case FILTER_TIME:
        n->number = entry_time_iso_s(text);
        if (n->number || entry_u64(text, &n->number)) return 0;
        return FAULT_AT(p, at, "\"%.*s\" is no time; write one like 2026-03-12T10:00:00Z", SLICE_ARGS(text));
    default:
        n->number = entry_seconds_us(text);
        if (n->number != UINT64_MAX) return 0;
        if (quantity_parse_ms(text, &ms, &err) < 0)
            return FAULT_AT(p, at, "\"%.*s\" is no duration; write one like 500ms or 1.5", SLICE_ARGS(text));
        n->number = ms * 1000;
        return 0;
    }
}

static int compile_regex(struct parser *p, struct filter_node *n, struct slice text, size_t at)
{
    int code;
    PCRE2_SIZE offset;
    n->regex = pcre2_compile((PCRE2_SPTR)text.data, text.len, PCRE2_NEVER_BACKSLASH_C, &code, &offset, NULL);
    if (!n->regex) {
        PCRE2_UCHAR why[128];
        pcre2_get_error_message(code, why, sizeof(why));
        return FAULT_AT(p, at, "\"%.*s\" is no regular expression: %s at its byte %zu", SLICE_ARGS(text),
                        (char *)why, (size_t)offset + 1);
    }
    pcre2_jit_compile(n->regex, PCRE2_JIT_COMPLETE); /* where there is none it is interpreted */
    n->kind = FILTER_MATCHES;
    return 0;
}

static int add_value(struct parser *p, struct filter_node *n, size_t at, struct slice text)
{
    struct filter *f = p->f;
    if (f->value_count == FILTER_NODES_MAX)
        return FAULT_AT(p, at, "the lists have more than %u values", FILTER_NODES_MAX);
    struct filter_value *v = &f->values[f->value_count];
    *v = (struct filter_value){ .text = text };
    if (n->subject == FILTER_CLIENT) {
        struct err err;
        if (cidr_parse(text, &v->block, &err) < 0) return FAULT_AT(p, at, "%s", err.text);
    } else if (filter_is_number(n)) {
        if (read_number_value(p, n, text, at) < 0) return -1;
        v->number = n->number;
    }
    if (!n->value_count) n->value_first = f->value_count;
    n->value_count++;
    f->value_count++;
    return 0;
}

static int read_list(struct parser *p, struct filter_node *n)
{
    bool is_list = take_token(p, "(");
    n->kind = n->subject == FILTER_CLIENT ? FILTER_IN_BLOCKS : FILTER_ONE_OF;
    do {
        struct slice text;
        skip_blanks(p);
        size_t at = p->at;
        if (read_value(p, &text) < 0 || add_value(p, n, at, text) < 0) return -1;
    } while (is_list && take_token(p, ","));
    if (is_list && !take_token(p, ")")) return FAULT(p, "a list ends with \")\"");
    return 0;
}

static const struct {
    const char *token;
    int op; /* -1: ~, -2: !~ */
} operators[] = { { "==", FILTER_EQUAL },   { "!=", FILTER_DIFFERS },  { "!~", -2 },
                  { "<=", FILTER_AT_MOST }, { ">=", FILTER_AT_LEAST }, { "<", FILTER_LESS },
                  { ">", FILTER_MORE },     { "=", FILTER_EQUAL },     { "~", -1 } };

static int read_operator(struct parser *p, int *op)
{
    for (unsigned i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
        if (!take_token(p, operators[i].token)) continue;
        *op = operators[i].op;
        return 0;
    }
    return FAULT(p, "an operator is missing; write ==, !=, <, <=, >, >=, ~, !~ or in");
}

static bool take_in(struct parser *p)
{
    size_t at = p->at;
    if (take_token(p, "in") && (p->at == p->all.len || !is_name_char(p->all.data[p->at]))) return true;
    p->at = at;
    return false;
}

/* One of our own that may have been meant; NULL: it is a variable of nginx's, or like none. */
static const char *nearest_name(struct slice name)
{
    static const struct line_format none = { 0 };
    const char *candidates[sizeof(names) / sizeof(*names)];
    if (line_format_field(&none, name) != LOG_FIELD_MAX) return NULL;
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) candidates[i] = names[i].name.data;
    return conf_nearest(name, candidates, sizeof(names) / sizeof(*names));
}

static int read_subject(struct parser *p, struct filter_node *n)
{
    bool is_variable = take_token(p, "$"); /* of whatever name */
    skip_blanks(p);
    size_t from = p->at;
    while (p->at < p->all.len && is_name_char(p->all.data[p->at])) p->at++;
    if (p->at == from) return FAULT(p, "a name is missing; write one like status, path or client");
    n->name = keep_text(p->f, (struct slice){ p->all.data + from, p->at - from });
    n->subject = FILTER_FIELD;
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (!slice_equal(names[i].name, n->name)) continue;
        n->subject = (uint8_t)names[i].subject;
        n->field = (uint8_t)names[i].field;
        return 0;
    }
    const char *nearest = is_variable ? NULL : nearest_name(n->name);
    if (nearest)
        return FAULT_AT(p, from,
                        "there is no \"%.*s\"; did you mean \"%s\"? (\"$%.*s\" is a variable of that name)",
                        SLICE_ARGS(n->name), nearest, SLICE_ARGS(n->name));
    return 0;
}

static int read_comparison(struct parser *p, uint32_t *out)
{
    if (new_node(p, FILTER_COMPARE, out) < 0) return -1;
    struct filter_node *n = &p->f->nodes[*out];
    struct slice text;
    int op;
    if (read_subject(p, n) < 0) return -1;
    if (take_in(p)) return read_list(p, n);
    skip_blanks(p);
    size_t operator_at = p->at;
    if (read_operator(p, &op) < 0) return -1;
    skip_blanks(p);
    size_t at = p->at;
    if (read_value(p, &text) < 0) return -1;
    if (op < 0) {
        n->is_negated = op == -2;
        if (filter_is_number(n) || n->subject == FILTER_CLIENT)
            return FAULT_AT(p, operator_at, "%.*s is no text: compare it with == or <", SLICE_ARGS(n->name));
        return compile_regex(p, n, text, at);
    }
    n->op = (uint8_t)op;
    if (filter_is_number(n)) return read_number_value(p, n, text, at);
    if (op != FILTER_EQUAL && op != FILTER_DIFFERS)
        return FAULT_AT(p, operator_at, "%.*s is no number: compare it with ==, !=, ~ or in",
                        SLICE_ARGS(n->name));
    return add_value(p, n, at, text);
}

static int read_any(struct parser *p, uint32_t *out);

static int read_not(struct parser *p, uint32_t *out)
{
    if (p->depth == FILTER_DEPTH_MAX) return FAULT(p, "brackets are nested deeper than %u", FILTER_DEPTH_MAX);
    p->depth++;
    int result = 0;
    if (take_token(p, "!")) {
        uint32_t inner = FILTER_NONE;
        result = new_node(p, FILTER_NOT, out);
        if (result == 0) result = read_not(p, &inner);
        if (result == 0) p->f->nodes[*out].first = inner;
    } else if (take_token(p, "(")) {
        result = read_any(p, out);
        if (result == 0 && !take_token(p, ")")) result = FAULT(p, "a bracket is not closed; write \")\"");
    } else {
        result = read_comparison(p, out);
    }
    p->depth--;
    return result;
}

static int read_chain(struct parser *p, const char *token, enum filter_kind kind,
                      int (*read)(struct parser *, uint32_t *), uint32_t *out)
{
    uint32_t last, next;
    if (read(p, out) < 0) return -1;
    if (!take_token(p, token)) return 0;
    uint32_t chain;
    if (new_node(p, kind, &chain) < 0) return -1;
    p->f->nodes[chain].first = last = *out;
    do {
        if (read(p, &next) < 0) return -1;
        p->f->nodes[last].next = next;
        last = next;
    } while (take_token(p, token));
    *out = chain;
    return 0;
}

static int read_all_of(struct parser *p, uint32_t *out)
{
    return read_chain(p, "&&", FILTER_ALL, read_not, out);
}

static int read_any(struct parser *p, uint32_t *out)
{
    return read_chain(p, "||", FILTER_ANY, read_all_of, out);
}

int filter_compile(struct filter **out, struct slice text, struct err *err)
{
    if (text.len > FILTER_TEXT_MAX)
        return err_set(err, "a filter may have %u bytes, this one has %zu", FILTER_TEXT_MAX, text.len);
    struct filter *f = calloc(1, sizeof(*f));
    if (!f) return err_set(err, "out of memory for a filter");
    f->match = pcre2_match_data_create(1, NULL);
    f->context = pcre2_match_context_create(NULL);
    struct parser p = { .f = f, .all = text, .err = err };
    int result = f->match && f->context ? 0 : err_set(err, "out of memory for a filter");
    f->root = FILTER_NONE;
    skip_blanks(&p);
    if (result == 0 && p.at < text.len) {
        result = read_any(&p, &f->root);
        skip_blanks(&p);
        if (result == 0 && p.at < text.len)
            result = FAULT_AT(&p, p.at, "\"%.*s\" is too much; join comparisons with && or ||",
                              (int)(text.len - p.at < 40 ? text.len - p.at : 40), text.data + p.at);
    }
    if (result < 0) {
        filter_free(f);
        return -1;
    }
    pcre2_set_match_limit(f->context, FILTER_REGEX_STEPS_MAX);
    pcre2_set_heap_limit(f->context, FILTER_REGEX_KIB_MAX);
    *out = f;
    return 0;
}

void filter_free(struct filter *f)
{
    if (!f) return;
    for (uint32_t i = 0; i < f->node_count; i++) pcre2_code_free(f->nodes[i].regex);
    pcre2_match_data_free(f->match);
    pcre2_match_context_free(f->context);
    free(f);
}

void filter_bind(struct filter *f, enum log_field (*field_of)(const void *context, struct slice name),
                 const void *context)
{
    for (uint32_t i = 0; i < f->node_count; i++)
        if (f->nodes[i].subject == FILTER_FIELD && f->nodes[i].name.len && f->nodes[i].field >= LOG_FURTHER)
            f->nodes[i].field = (uint8_t)field_of(context, f->nodes[i].name);
}
