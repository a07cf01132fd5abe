#include "logs/filter_tree.h"
#include "logs/line_format.h"

/* MAYBE: a regular expression gave up. What it says and its opposite are equally unknown (Kleene's logic). */
enum truth { NO, MAYBE, YES };

static bool number_of(const struct filter_node *n, const struct log_entry *e, uint64_t *out)
{
    switch (n->subject) {
    case FILTER_STATUS: *out = e->status; return e->status != 0;
    case FILTER_BYTES: *out = e->bytes; return true;
    case FILTER_REQUEST: *out = e->request_us; return e->request_us != UINT64_MAX;
    case FILTER_UPSTREAM: *out = e->upstream_us; return e->upstream_us != UINT64_MAX;
    default: *out = e->time_s; return e->time_s != 0;
    }
}

static bool compare_numbers(enum filter_operator op, uint64_t a, uint64_t b)
{
    switch (op) {
    case FILTER_EQUAL: return a == b;
    case FILTER_DIFFERS: return a != b;
    case FILTER_LESS: return a < b;
    case FILTER_AT_MOST: return a <= b;
    case FILTER_MORE: return a > b;
    case FILTER_AT_LEAST: return a >= b;
    }
    return false;
}

/* data is NULL if the record does not say. */
static struct slice text_of(const struct filter_node *n, const struct log_entry *e)
{
    if (n->subject == FILTER_METHOD) return e->method;
    if (n->subject == FILTER_PATH) return e->path;
    return n->field < LOG_FIELD_MAX ? e->values[n->field] : SLICE_NONE;
}

static bool has_client(const struct log_entry *e)
{
    static const struct ip none;
    return memcmp(&e->client, &none, sizeof(none)) != 0;
}

static bool is_in_blocks(const struct filter *f, const struct filter_node *n, const struct log_entry *e)
{
    for (uint32_t i = 0; i < n->value_count; i++)
        if (cidr_contains(&f->values[n->value_first + i].block, &e->client)) return true;
    return false;
}

static bool is_one_of(const struct filter *f, const struct filter_node *n, const struct log_entry *e)
{
    uint64_t number = 0;
    bool is_numeric = filter_is_number(n);
    struct slice text = is_numeric ? SLICE_NONE : text_of(n, e);
    if (is_numeric ? !number_of(n, e, &number) : !text.data) return false;
    for (uint32_t i = 0; i < n->value_count; i++) {
        const struct filter_value *v = &f->values[n->value_first + i];
        if (is_numeric ? v->number == number : slice_equal(v->text, text)) return true;
    }
    return false;
}

static bool compares(const struct filter *f, const struct filter_node *n, const struct log_entry *e)
{
    uint64_t number;
    if (filter_is_number(n))
        return number_of(n, e, &number) && compare_numbers((enum filter_operator)n->op, number, n->number);
    bool is_equal;
    if (n->subject == FILTER_CLIENT) {
        if (!has_client(e)) return false;
        is_equal = is_in_blocks(f, n, e);
    } else {
        struct slice text = text_of(n, e);
        if (!text.data) return false;
        is_equal = slice_equal(text, f->values[n->value_first].text);
    }
    return is_equal == (n->op == FILTER_EQUAL);
}

/* Compiled code has a small stack of its own, which a long value overflows: then it is interpreted, on the heap. */
static enum truth matches(struct filter *f, const struct filter_node *n, const struct log_entry *e)
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
static enum truth join(struct filter *f, const struct filter_node *n, enum truth end,
                       const struct log_entry *e)
{
    enum truth result = end == NO ? YES : NO;
    for (uint32_t i = n->first; i != FILTER_NONE && result != end; i = f->nodes[i].next) {
        enum truth one = takes(f, i, e);
        if (end == NO ? one < result : one > result) result = one;
    }
    return result;
}

static enum truth takes(struct filter *f, uint32_t at, const struct log_entry *e)
{
    const struct filter_node *n = &f->nodes[at];
    switch ((enum filter_kind)n->kind) {
    case FILTER_ALL: return join(f, n, NO, e);
    case FILTER_ANY: return join(f, n, YES, e);
    case FILTER_NOT: return (enum truth)(YES - takes(f, n->first, e));
    case FILTER_COMPARE: return compares(f, n, e) ? YES : NO;
    case FILTER_ONE_OF: return is_one_of(f, n, e) ? YES : NO;
    case FILTER_IN_BLOCKS: return has_client(e) && is_in_blocks(f, n, e) ? YES : NO;
    case FILTER_MATCHES: return matches(f, n, e);
    }
    return NO;
}

bool filter_takes(struct filter *f, const struct log_entry *e)
{
    return f->root == FILTER_NONE || takes(f, f->root, e) == YES;
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
static bool is_said(const struct filter_node *n, const struct line_format *f)
{
    switch ((enum filter_subject)n->subject) {
    case FILTER_BYTES: return has_field(f, LOG_BODY_BYTES) || has_field(f, LOG_BYTES);
    case FILTER_TIME:
        return has_field(f, LOG_TIME_LOCAL) || has_field(f, LOG_TIME_ISO) || has_field(f, LOG_MSEC);
    case FILTER_METHOD: return has_field(f, LOG_REQUEST) || has_field(f, LOG_METHOD);
    case FILTER_PATH: return has_field(f, LOG_REQUEST) || has_field(f, LOG_TARGET);
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

static void narrow(const struct filter_node *n, uint64_t *from_s, uint64_t *to_s)
{
    if (n->kind != FILTER_COMPARE || n->subject != FILTER_TIME) return;
    uint64_t low = 0, high = UINT64_MAX;
    switch ((enum filter_operator)n->op) {
    case FILTER_EQUAL: low = high = n->number; break;
    case FILTER_LESS: high = n->number ? n->number - 1 : 0; break;
    case FILTER_AT_MOST: high = n->number; break;
    case FILTER_MORE: low = n->number + 1; break;
    case FILTER_AT_LEAST: low = n->number; break;
    case FILTER_DIFFERS: break;
    }
    if (low > *from_s) *from_s = low;
    if (high < *to_s) *to_s = high;
}

void filter_time_bounds(const struct filter *f, uint64_t *from_s, uint64_t *to_s)
{
    *from_s = 0;
    *to_s = UINT64_MAX;
    if (f->root == FILTER_NONE) return;
    const struct filter_node *root = &f->nodes[f->root];
    narrow(root, from_s, to_s);
    for (uint32_t i = root->kind == FILTER_ALL ? root->first : FILTER_NONE; i != FILTER_NONE;
         i = f->nodes[i].next)
        narrow(&f->nodes[i], from_s, to_s);
}
