#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "logs/filter.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantity.h"
#include "conf/decode.h"
#include "logs/entry_value.h"
#include "logs/line_format.h"

enum kind { ALL, ANY, NOT, COMPARE, ONE_OF, IN_BLOCKS, MATCHES };
enum operator_ { EQUAL, DIFFERS, LESS, AT_MOST, MORE, AT_LEAST };
enum subject {
    NUMBER_STATUS,
    NUMBER_BYTES,
    NUMBER_REQUEST,
    NUMBER_UPSTREAM,
    NUMBER_TIME,
    CLIENT,
    METHOD,
    PATH,
    FIELD
};

/* A node's operands lie in nodes[first], and from there by `next`. Values of lists likewise in values[]. */
struct node {
    uint8_t kind, op, subject;
    uint8_t field; /* enum log_field; LOG_FIELD_MAX: not met so far */
    uint32_t first, next;
    struct slice name; /* of a variable; in text */
    uint64_t number;
    uint32_t value_first, value_count;
    pcre2_code *regex;
    bool is_negated; /* !~ */
};

struct value {
    struct slice text; /* in memory */
    struct cidr block;
    uint64_t number;
};

#define NONE UINT32_MAX

struct filter {
    uint32_t root, node_count, value_count;
    struct node nodes[FILTER_NODES_MAX];
    struct value values[FILTER_NODES_MAX];
    uint32_t text_used;
    char text[FILTER_TEXT_MAX];
    uint64_t gave_up;
    pcre2_match_data *match;
    pcre2_match_context *context;
};

/* MAYBE: a regular expression gave up. What it says and its opposite are equally unknown (Kleene's logic). */
enum truth { NO, MAYBE, YES };

struct parser {
    struct filter *f;
    struct slice all;
    size_t at;
    uint32_t depth;
    struct err *err;
};

static const struct {
    struct slice name;
    enum subject subject;
    enum log_field field;
} names[] = {
#define NAME(text, subject, field)                 \
    {                                              \
        { text, sizeof(text) - 1 }, subject, field \
    }
    NAME("status", NUMBER_STATUS, LOG_STATUS),
    NAME("bytes", NUMBER_BYTES, LOG_BYTES),
    NAME("request_time", NUMBER_REQUEST, LOG_REQUEST_TIME),
    NAME("upstream_time", NUMBER_UPSTREAM, LOG_UPSTREAM_TIME),
    NAME("time", NUMBER_TIME, LOG_TIME_LOCAL),
    NAME("client", CLIENT, LOG_CLIENT),
    NAME("method", METHOD, LOG_METHOD),
    NAME("path", PATH, LOG_TARGET),
    NAME("target", FIELD, LOG_TARGET),
    NAME("host", FIELD, LOG_HOST),
    NAME("agent", FIELD, LOG_AGENT),
    NAME("referer", FIELD, LOG_REFERER),
    NAME("upstream", FIELD, LOG_UPSTREAM),
    NAME("variant", FIELD, LOG_VARIANT),
#undef NAME
};

/* words */

static void say(struct parser *p, size_t at, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say(struct parser *p, size_t at, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    err_set(p->err, "column %zu: %s", at + 1, text);
}

#define FAULT_AT(p, at, ...) (say((p), (at), __VA_ARGS__), -1)
#define FAULT(p, ...) FAULT_AT((p), (p)->at, __VA_ARGS__)

static void skip_blanks(struct parser *p)
{
    while (p->at < p->all.len && (p->all.data[p->at] == ' ' || p->all.data[p->at] == '\t')) p->at++;
}

static bool take(struct parser *p, const char *token)
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

static struct slice keep(struct filter *f, struct slice s)
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
    *out = keep(p->f, (struct slice){ p->all.data + from, p->at - from });
    return 0;
}

/* nodes */

static int new_node(struct parser *p, enum kind kind, uint32_t *out)
{
    struct filter *f = p->f;
    if (f->node_count == FILTER_NODES_MAX)
        return FAULT(p, "the filter has more than %u parts", FILTER_NODES_MAX);
    *out = f->node_count++;
    f->nodes[*out] =
        (struct node){ .kind = (uint8_t)kind, .first = NONE, .next = NONE, .field = LOG_FIELD_MAX };
    return 0;
}

static int read_number(struct parser *p, struct node *n, struct slice text, size_t at)
{
    struct err err = { "" };
    uint64_t ms;
    switch (n->subject) {
    case NUMBER_STATUS:
        if (entry_u64(text, &n->number)) return 0;
        return FAULT_AT(p, at, "\"%.*s\" is no status; write a number like 502", SLICE_ARGS(text));
    case NUMBER_BYTES:
        if (entry_u64(text, &n->number) || quantity_parse_bytes(text, &n->number, &err) == 0) return 0;
        return FAULT_AT(p, at, "\"%.*s\" is no size; write one like 1000 or 1MiB", SLICE_ARGS(text));
    case NUMBER_TIME:
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

static bool is_number(const struct node *n)
{
    return n->subject <= NUMBER_TIME;
}

static int compile_regex(struct parser *p, struct node *n, struct slice text, size_t at)
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
    n->kind = MATCHES;
    return 0;
}

static int add_value(struct parser *p, struct node *n, size_t at, struct slice text)
{
    struct filter *f = p->f;
    if (f->value_count == FILTER_NODES_MAX)
        return FAULT_AT(p, at, "the lists have more than %u values", FILTER_NODES_MAX);
    struct value *v = &f->values[f->value_count];
    *v = (struct value){ .text = text };
    if (n->subject == CLIENT) {
        struct err err;
        if (cidr_parse(text, &v->block, &err) < 0) return FAULT_AT(p, at, "%s", err.text);
    } else if (is_number(n)) {
        if (read_number(p, n, text, at) < 0) return -1;
        v->number = n->number;
    }
    if (!n->value_count) n->value_first = f->value_count;
    n->value_count++;
    f->value_count++;
    return 0;
}

static int read_list(struct parser *p, struct node *n)
{
    bool is_list = take(p, "(");
    n->kind = n->subject == CLIENT ? IN_BLOCKS : ONE_OF;
    do {
        struct slice text;
        skip_blanks(p);
        size_t at = p->at;
        if (read_value(p, &text) < 0 || add_value(p, n, at, text) < 0) return -1;
    } while (is_list && take(p, ","));
    if (is_list && !take(p, ")")) return FAULT(p, "a list ends with \")\"");
    return 0;
}

static const struct {
    const char *token;
    int op; /* -1: ~, -2: !~ */
} operators[] = { { "==", EQUAL }, { "!=", DIFFERS }, { "!~", -2 },   { "<=", AT_MOST }, { ">=", AT_LEAST },
                  { "<", LESS },   { ">", MORE },     { "=", EQUAL }, { "~", -1 } };

static int read_operator(struct parser *p, int *op)
{
    for (unsigned i = 0; i < sizeof(operators) / sizeof(*operators); i++) {
        if (!take(p, operators[i].token)) continue;
        *op = operators[i].op;
        return 0;
    }
    return FAULT(p, "an operator is missing; write ==, !=, <, <=, >, >=, ~, !~ or in");
}

static bool take_in(struct parser *p)
{
    size_t at = p->at;
    if (take(p, "in") && (p->at == p->all.len || !is_name_char(p->all.data[p->at]))) return true;
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

static int read_subject(struct parser *p, struct node *n)
{
    bool is_variable = take(p, "$"); /* of whatever name */
    skip_blanks(p);
    size_t from = p->at;
    while (p->at < p->all.len && is_name_char(p->all.data[p->at])) p->at++;
    if (p->at == from) return FAULT(p, "a name is missing; write one like status, path or client");
    n->name = keep(p->f, (struct slice){ p->all.data + from, p->at - from });
    n->subject = FIELD;
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
    if (new_node(p, COMPARE, out) < 0) return -1;
    struct node *n = &p->f->nodes[*out];
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
        if (is_number(n) || n->subject == CLIENT)
            return FAULT_AT(p, operator_at, "%.*s is no text: compare it with == or <", SLICE_ARGS(n->name));
        return compile_regex(p, n, text, at);
    }
    n->op = (uint8_t)op;
    if (is_number(n)) return read_number(p, n, text, at);
    if (op != EQUAL && op != DIFFERS)
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
    if (take(p, "!")) {
        uint32_t inner = NONE;
        result = new_node(p, NOT, out);
        if (result == 0) result = read_not(p, &inner);
        if (result == 0) p->f->nodes[*out].first = inner;
    } else if (take(p, "(")) {
        result = read_any(p, out);
        if (result == 0 && !take(p, ")")) result = FAULT(p, "a bracket is not closed; write \")\"");
    } else {
        result = read_comparison(p, out);
    }
    p->depth--;
    return result;
}

static int read_chain(struct parser *p, const char *token, enum kind kind,
                      int (*read)(struct parser *, uint32_t *), uint32_t *out)
{
    uint32_t last, next;
    if (read(p, out) < 0) return -1;
    if (!take(p, token)) return 0;
    uint32_t chain;
    if (new_node(p, kind, &chain) < 0) return -1;
    p->f->nodes[chain].first = last = *out;
    do {
        if (read(p, &next) < 0) return -1;
        p->f->nodes[last].next = next;
        last = next;
    } while (take(p, token));
    *out = chain;
    return 0;
}

static int read_all(struct parser *p, uint32_t *out)
{
    return read_chain(p, "&&", ALL, read_not, out);
}

static int read_any(struct parser *p, uint32_t *out)
{
    return read_chain(p, "||", ANY, read_all, out);
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
    f->root = NONE;
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
        if (f->nodes[i].subject == FIELD && f->nodes[i].name.len && f->nodes[i].field >= LOG_FURTHER)
            f->nodes[i].field = (uint8_t)field_of(context, f->nodes[i].name);
}

/* taking */

static bool number_of(const struct node *n, const struct log_entry *e, uint64_t *out)
{
    switch (n->subject) {
    case NUMBER_STATUS: *out = e->status; return e->status != 0;
    case NUMBER_BYTES: *out = e->bytes; return true;
    case NUMBER_REQUEST: *out = e->request_us; return e->request_us != UINT64_MAX;
    case NUMBER_UPSTREAM: *out = e->upstream_us; return e->upstream_us != UINT64_MAX;
    default: *out = e->time_s; return e->time_s != 0;
    }
}

static bool compare(enum operator_ op, uint64_t a, uint64_t b)
{
    switch (op) {
    case EQUAL: return a == b;
    case DIFFERS: return a != b;
    case LESS: return a < b;
    case AT_MOST: return a <= b;
    case MORE: return a > b;
    case AT_LEAST: return a >= b;
    }
    return false;
}

/* data is NULL if the record does not say. */
static struct slice text_of(const struct node *n, const struct log_entry *e)
{
    if (n->subject == METHOD) return e->method;
    if (n->subject == PATH) return e->path;
    return n->field < LOG_FIELD_MAX ? e->values[n->field] : SLICE_NONE;
}

static bool has_client(const struct log_entry *e)
{
    static const struct ip none;
    return memcmp(&e->client, &none, sizeof(none)) != 0;
}

static bool is_in_blocks(const struct filter *f, const struct node *n, const struct log_entry *e)
{
    for (uint32_t i = 0; i < n->value_count; i++)
        if (cidr_contains(&f->values[n->value_first + i].block, &e->client)) return true;
    return false;
}

static bool is_one_of(const struct filter *f, const struct node *n, const struct log_entry *e)
{
    uint64_t number = 0;
    bool is_numeric = is_number(n);
    struct slice text = is_numeric ? SLICE_NONE : text_of(n, e);
    if (is_numeric ? !number_of(n, e, &number) : !text.data) return false;
    for (uint32_t i = 0; i < n->value_count; i++) {
        const struct value *v = &f->values[n->value_first + i];
        if (is_numeric ? v->number == number : slice_equal(v->text, text)) return true;
    }
    return false;
}

static bool compares(const struct filter *f, const struct node *n, const struct log_entry *e)
{
    uint64_t number;
    if (is_number(n)) return number_of(n, e, &number) && compare((enum operator_)n->op, number, n->number);
    bool is_equal;
    if (n->subject == CLIENT) {
        if (!has_client(e)) return false;
        is_equal = is_in_blocks(f, n, e);
    } else {
        struct slice text = text_of(n, e);
        if (!text.data) return false;
        is_equal = slice_equal(text, f->values[n->value_first].text);
    }
    return is_equal == (n->op == EQUAL);
}

/* Compiled code has a small stack of its own, which a long value overflows: then it is interpreted, on the heap. */
static enum truth matches(struct filter *f, const struct node *n, const struct log_entry *e)
{
    struct slice text = text_of(n, e);
    if (!text.data) return NO;
    PCRE2_SPTR subject = (PCRE2_SPTR)text.data;
    int found = pcre2_match(n->regex, subject, text.len, 0, 0, f->match, f->context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT)
        found = pcre2_match(n->regex, subject, text.len, 0, PCRE2_NO_JIT, f->match, f->context);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
        f->gave_up++;
        return MAYBE;
    }
    return (found >= 0) != n->is_negated ? YES : NO;
}

static enum truth takes(struct filter *f, uint32_t at, const struct log_entry *e);

/* All of them: the least of their truths; any of them: the most. */
static enum truth join(struct filter *f, const struct node *n, enum truth end, const struct log_entry *e)
{
    enum truth result = end == NO ? YES : NO;
    for (uint32_t i = n->first; i != NONE && result != end; i = f->nodes[i].next) {
        enum truth one = takes(f, i, e);
        if (end == NO ? one < result : one > result) result = one;
    }
    return result;
}

static enum truth takes(struct filter *f, uint32_t at, const struct log_entry *e)
{
    const struct node *n = &f->nodes[at];
    switch ((enum kind)n->kind) {
    case ALL: return join(f, n, NO, e);
    case ANY: return join(f, n, YES, e);
    case NOT: return (enum truth)(YES - takes(f, n->first, e));
    case COMPARE: return compares(f, n, e) ? YES : NO;
    case ONE_OF: return is_one_of(f, n, e) ? YES : NO;
    case IN_BLOCKS: return has_client(e) && is_in_blocks(f, n, e) ? YES : NO;
    case MATCHES: return matches(f, n, e);
    }
    return NO;
}

bool filter_takes(struct filter *f, const struct log_entry *e)
{
    return f->root == NONE || takes(f, f->root, e) == YES;
}

uint64_t filter_gave_up(const struct filter *f)
{
    return f->gave_up;
}

static bool has_field(const struct line_format *format, enum log_field field)
{
    for (uint32_t i = 0; i < format->step_count; i++)
        if (format->steps[i].field == field) return true;
    return false;
}

/* Whether lines of that format say what the node asks for; what can be worked out of the request line is in it. */
static bool is_said(const struct node *n, const struct line_format *f)
{
    switch ((enum subject)n->subject) {
    case NUMBER_BYTES: return has_field(f, LOG_BODY_BYTES) || has_field(f, LOG_BYTES);
    case NUMBER_TIME:
        return has_field(f, LOG_TIME_LOCAL) || has_field(f, LOG_TIME_ISO) || has_field(f, LOG_MSEC);
    case METHOD: return has_field(f, LOG_REQUEST) || has_field(f, LOG_METHOD);
    case PATH: return has_field(f, LOG_REQUEST) || has_field(f, LOG_TARGET);
    default: break;
    }
    bool is_of_request = n->field == LOG_TARGET || n->field == LOG_PROTOCOL;
    if (is_of_request && has_field(f, LOG_REQUEST)) return true;
    return n->field < LOG_FIELD_MAX && has_field(f, (enum log_field)n->field);
}

struct slice filter_unsaid(const struct filter *f, const struct line_format *format)
{
    for (uint32_t i = 0; i < f->node_count; i++)
        if (f->nodes[i].name.len && !is_said(&f->nodes[i], format)) return f->nodes[i].name;
    return SLICE_NONE;
}

static void narrow(const struct node *n, uint64_t *from_s, uint64_t *to_s)
{
    if (n->kind != COMPARE || n->subject != NUMBER_TIME) return;
    uint64_t low = 0, high = UINT64_MAX;
    switch ((enum operator_)n->op) {
    case EQUAL: low = high = n->number; break;
    case LESS: high = n->number ? n->number - 1 : 0; break;
    case AT_MOST: high = n->number; break;
    case MORE: low = n->number + 1; break;
    case AT_LEAST: low = n->number; break;
    case DIFFERS: break;
    }
    if (low > *from_s) *from_s = low;
    if (high < *to_s) *to_s = high;
}

void filter_time_bounds(const struct filter *f, uint64_t *from_s, uint64_t *to_s)
{
    *from_s = 0;
    *to_s = UINT64_MAX;
    if (f->root == NONE) return;
    const struct node *root = &f->nodes[f->root];
    narrow(root, from_s, to_s);
    for (uint32_t i = root->kind == ALL ? root->first : NONE; i != NONE; i = f->nodes[i].next)
        narrow(&f->nodes[i], from_s, to_s);
}
