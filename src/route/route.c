#define XXH_INLINE_ALL
#include <xxhash.h>

#include "route/route_table.h"

#include <stdlib.h>

#include "base/bug.h"
#include "http/template.h"
#include "route/route_not.h"

const char *route_host_reason_name(enum route_host_reason reason)
{
    static const char *const names[] = { "any", "wildcard", "exact" };
    return reason <= ROUTE_HOST_EXACT ? names[reason] : "unknown";
}

const char *route_path_reason_name(enum route_path_reason reason)
{
    static const char *const names[] = { "any", "regex", "prefix", "exact" };
    return reason <= ROUTE_PATH_EXACT ? names[reason] : "unknown";
}

static size_t without_port(struct slice host)
{
    size_t len = host.len;
    while (len && host.data[len - 1] >= '0' && host.data[len - 1] <= '9') len--;
    return len && host.data[len - 1] == ':' ? len - 1 : host.len;
}

uint32_t route_fold_host(struct slice host, char out[ROUTE_HOST_MAX])
{
    size_t len = without_port(host);
    if (len && host.data[len - 1] == '.') len--;
    if (len > ROUTE_HOST_MAX) return 0;
    for (size_t i = 0; i < len; i++) {
        char c = host.data[i];
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c | 32) : c;
    }
    return (uint32_t)len;
}

uint64_t route_hash_host(const char *host, uint32_t len)
{
    return XXH3_64bits(host, len);
}

uint64_t route_head_of(const char *text, size_t len)
{
    uint64_t head = 0;
    if (len) memcpy(&head, text, len < sizeof(head) ? len : sizeof(head));
    return __builtin_bswap64(head); /* little-endian only, as all of weir's platforms are */
}

static size_t common_len(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t max = a_len < b_len ? a_len : b_len, i = 0;
    while (i < max && a[i] == b[i]) i++;
    return i;
}

/* Whether the entry's text comes after `path` in the order of bytes. */
static bool is_after(const struct route_table *t, const struct route_entry *e, struct slice path,
                     uint64_t head)
{
    if (e->head != head) return e->head > head;
    size_t shorter = e->len < path.len ? e->len : path.len;
    int order = shorter ? memcmp(t->text + e->at, path.data, shorter) : 0;
    return order > 0 || (order == 0 && e->len > path.len);
}

/* conditions */

/* One search, and whom it is told to (NULL: nobody). */
struct search {
    const struct route_table *table;
    const struct route_request *rq;
    struct route_scratch *scratch;
    struct route_choice *out;
    void (*on_step)(void *context, uint32_t index, struct slice why);
    void *context;
};

/* What a request has of a field or an argument. */
struct values {
    struct slice first;        /* for people; data is NULL if it is not there */
    bool is_there, has_wanted; /* one of them is what the probe asks for */
};

/* A list in one field is as many values as fields would be (RFC 9110 5.3). */
static bool has_element(struct slice list, struct slice wanted)
{
    while (list.len) {
        const char *comma = memchr(list.data, ',', list.len);
        size_t len = comma ? (size_t)(comma - list.data) : list.len;
        if (slice_equal(slice_trim((struct slice){ list.data, len }), wanted)) return true;
        len += comma != NULL;
        list = (struct slice){ list.data + len, list.len - len };
    }
    return false;
}

static void note_field(struct values *v, const struct route_probe *p, struct slice value)
{
    if (!value.data) value.data = "";
    if (!v->is_there) v->first = value;
    v->is_there = true;
    v->has_wanted = v->has_wanted || slice_equal(value, p->value) || has_element(value, p->value);
}

/* Only what goes on to the server counts, and all of it: whoever puts a field twice, or lets Connection take it out,
 * is not to be seen as another than the server sees. Host and Upgrade are not passed on as fields. */
static struct values header_values(const struct http_head *head, const struct route_probe *p)
{
    struct values v = { 0 };
    if (!head) return v;
    if (p->field_id == HTTP_FIELD_HOST && head->authority.len) note_field(&v, p, head->authority);
    if (p->field_id == HTTP_FIELD_UPGRADE && head->upgrade.len) note_field(&v, p, head->upgrade);
    if (p->field_id == HTTP_FIELD_HOST || p->field_id == HTTP_FIELD_UPGRADE) return v;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (f->id != p->field_id || f->is_dropped) continue;
        if (f->id == HTTP_FIELD_OTHER && !slice_equal_fold((struct slice){ f->name, f->name_len }, p->name))
            continue;
        note_field(&v, p, http_field_value(f));
    }
    return v;
}

static struct values argument_values(struct slice query, const struct route_probe *p)
{
    struct values v = { 0 };
    struct slice name, value;
    while (http_query_next(&query, &name, &value)) {
        if (!http_query_is(name, p->name)) continue;
        if (!v.is_there) v.first = value;
        v.is_there = true;
        v.has_wanted = v.has_wanted || http_query_is(value, p->value);
    }
    return v;
}

static struct values values_of(const struct search *s, const struct route_probe *p, bool is_header)
{
    return is_header ? header_values(s->rq->head, p) : argument_values(s->rq->query, p);
}

static bool holds(const struct route_probe *p, const struct values *v)
{
    switch ((enum route_test)p->test) {
    case ROUTE_IS: return v->has_wanted;
    case ROUTE_IS_NOT: return !v->has_wanted;
    case ROUTE_IS_THERE: return v->is_there;
    case ROUTE_IS_ABSENT: return !v->is_there;
    }
    return false;
}

static bool has_method(const struct search *s, const struct route_candidate *c)
{
    const struct http_head *head = s->rq->head;
    if (!c->methods && !c->method_count) return true;
    if (!head) return false;
    if (head->method != HTTP_OTHER) return c->methods >> head->method & 1;
    for (uint32_t i = 0; i < c->method_count; i++)
        if (slice_equal(s->table->methods[c->first_method + i], head->method_text)) return true;
    return false;
}

static bool has_scheme(const struct search *s, const struct route_candidate *c)
{
    return c->scheme == ROUTE_SCHEME_ANY || (c->scheme == ROUTE_SCHEME_HTTPS) == s->rq->is_secure;
}

static bool has_client(const struct search *s, const struct route_candidate *c)
{
    for (uint32_t i = 0; i < c->client_count; i++)
        if (cidr_contains(&s->table->clients[c->first_client + i], &s->rq->client)) return true;
    return !c->client_count;
}

static const char *exclusion(const struct search *s, const struct route_candidate *c)
{
    return c->not ? route_not_holds(c->not, s->rq) : NULL;
}

/* The first condition on headers or arguments that does not hold; ROUTE_NONE. */
static uint32_t failed_probe(const struct search *s, const struct route_candidate *c)
{
    uint32_t count = c->header_count + c->query_count;
    if (bug_if(ROUTE, count > s->table->probe_count - c->first_probe)) return 0; /* unasked, none holds */
    for (uint32_t i = 0; i < count; i++) {
        const struct route_probe *p = &s->table->probes[c->first_probe + i];
        struct values v = values_of(s, p, i < c->header_count);
        if (!holds(p, &v)) return i;
    }
    return ROUTE_NONE;
}

/* Whether it matches, or gave up. */
static bool may_match(const struct search *s, const struct route_candidate *c)
{
    int found = route_scratch_match(s->scratch, c->regex, s->rq->path, NULL);
    s->out->is_undecided = found < 0 && found != PCRE2_ERROR_NOMATCH;
    return found >= 0 || s->out->is_undecided;
}

/* telling */

static void tell_probe(const struct search *s, const struct route_candidate *c, uint32_t at, struct text *why)
{
    const struct route_probe *p = &s->table->probes[c->first_probe + at];
    bool is_header = at < c->header_count;
    struct values v = values_of(s, p, is_header);
    struct slice value = p->test == ROUTE_IS_NOT ? p->value : v.first;
    text_printf(why, "%s %.*s ", is_header ? "header" : "query argument", SLICE_ARGS(p->name));
    if (!v.is_there)
        TEXT_LITERAL(why, "is missing");
    else if (p->test == ROUTE_IS_ABSENT)
        TEXT_LITERAL(why, "is there");
    else
        text_printf(why, "is \"%.*s\"", (int)(value.len < 64 ? value.len : 64), value.data);
    if (p->test == ROUTE_IS) text_printf(why, ", not \"%.*s\"", SLICE_ARGS(p->value));
}

static void tell_candidate(const struct search *s, const struct route_candidate *c)
{
    char memory[512];
    struct text why = text_over(memory, sizeof(memory));
    uint32_t probe = failed_probe(s, c);
    const struct http_head *head = s->rq->head;
    if (c->regex && !may_match(s, c))
        TEXT_LITERAL(&why, "its regular expression does not match the path");
    else if (!has_method(s, c))
        text_printf(&why, "method %.*s is not among its methods", head ? (int)head->method_text.len : 0,
                    head ? head->method_text.data : "");
    else if (probe != ROUTE_NONE)
        tell_probe(s, c, probe, &why);
    else if (!has_scheme(s, c))
        text_printf(&why, "the scheme is %s", s->rq->is_secure ? "https, not http" : "http, not https");
    else if (!has_client(s, c))
        TEXT_LITERAL(&why, "the client's address is in none of its blocks");
    else if (exclusion(s, c))
        text_printf(&why, "its `not` leaves out this %s", exclusion(s, c));
    else if (s->out->is_undecided)
        TEXT_LITERAL(&why, "its regular expression gave up on the path, so no route is taken");
    s->on_step(s->context, c->index, text_slice(&why));
}

/* The first of a list whose conditions all hold. */
static bool ask_list(const struct search *s, const struct route_list *list, enum route_path_reason path)
{
    if (bug_if(ROUTE, list->count > s->table->candidate_count - list->first)) return false;
    for (uint32_t i = 0; i < list->count; i++) {
        const struct route_candidate *c = &s->table->candidates[list->first + i];
        s->out->is_undecided = false;
        bool takes = (!c->regex || may_match(s, c)) && has_method(s, c) && failed_probe(s, c) == ROUTE_NONE &&
                     has_scheme(s, c) && has_client(s, c) && !exclusion(s, c);
        if (s->on_step) tell_candidate(s, c);
        if (!takes) continue;
        /* A route that may be meant is not passed over: the next might allow what this one denies. */
        if (s->out->is_undecided) return true;
        s->out->index = c->index;
        s->out->path = path;
        s->out->conditions = (uint8_t)((c->methods || c->method_count) + c->header_count + c->query_count +
                                       (c->client_count > 0) + (c->scheme != ROUTE_SCHEME_ANY) +
                                       (c->not != NULL));
        return true;
    }
    return false;
}

/* paths */

/* The last entry that does not come after the path; NULL. It begins with every entry that the path begins with: whatever
 * lies in order between a text and an extension of it is an extension, too. So one search finds them all. */
static const struct route_entry *find_entry(const struct route_table *t, uint32_t group, struct slice path)
{
    const struct route_entry *entries = t->entries + t->groups[group].first;
    uint32_t low = 0, count = t->groups[group].count;
    uint64_t head = route_head_of(path.data, path.len);
    while (count) {
        uint32_t half = count / 2;
        if (is_after(t, &entries[low + half], path, head)) {
            count = half;
        } else {
            low += half + 1;
            count -= half + 1;
        }
    }
    return low ? &entries[low - 1] : NULL;
}

static bool match_path(const struct search *s, uint32_t group)
{
    const struct route_table *t = s->table;
    struct slice path = s->rq->path;
    const struct route_entry *e = find_entry(t, group, path);
    const struct route_list *any = NULL;
    size_t common = e ? common_len(t->text + e->at, e->len, path.data, path.len) : 0;
    if (e && e->len == path.len && common == path.len && ask_list(s, &e->exact, ROUTE_PATH_EXACT))
        return true;
    while (e) {
        if (!e->len) {
            any = &e->prefix; /* any path: asked last */
        } else if (e->len <= common && ask_list(s, &e->prefix, ROUTE_PATH_PREFIX)) {
            return true;
        }
        const struct route_entry *next = e->next_shorter == ROUTE_NONE ? NULL : &t->entries[e->next_shorter];
        if (bug_if(ROUTE, next && next->len >= e->len)) break; /* it would be asked for ever */
        e = next;
    }
    if (ask_list(s, &t->groups[group].regexes, ROUTE_PATH_REGEX)) return true;
    return any && ask_list(s, any, ROUTE_PATH_ANY);
}

static uint32_t find_host(const struct route_table *t, const char *host, uint32_t len)
{
    uint64_t hash = route_hash_host(host, len);
    for (uint32_t i = (uint32_t)hash & t->host_mask;; i = (i + 1) & t->host_mask) {
        const struct route_host *h = &t->hosts[i];
        if (h->group == ROUTE_NONE) return ROUTE_NONE;
        if (h->hash == hash && h->len == len && memcmp(t->text + h->at, host, len) == 0) return h->group;
    }
}

static bool has_wildcard_of(const struct route_table *t, uint32_t len)
{
    return t->wildcard_lens[len / 64] >> (len % 64) & 1;
}

static bool match_named_host(const struct search *s)
{
    const struct route_table *t = s->table;
    char folded[ROUTE_HOST_MAX];
    uint32_t len = route_fold_host(s->rq->host, folded);
    if (!len || folded[0] == '.') return false;
    uint32_t group = find_host(t, folded, len);
    s->out->host = ROUTE_HOST_EXACT;
    if (group != ROUTE_NONE && match_path(s, group)) return true;
    s->out->host = ROUTE_HOST_WILDCARD;
    for (uint32_t i = 1; t->has_wildcards && i < len; i++) {
        if (folded[i] != '.' || !has_wildcard_of(t, len - i)) continue;
        group = find_host(t, folded + i, len - i);
        if (group != ROUTE_NONE && match_path(s, group)) return true;
    }
    return false;
}

static void search(const struct search *s)
{
    const struct route_table *t = s->table;
    *s->out = (struct route_choice){ .index = ROUTE_NONE };
    if (t->has_hosts && match_named_host(s)) return;
    s->out->host = ROUTE_HOST_ANY;
    if (t->any_group != ROUTE_NONE && match_path(s, t->any_group)) return;
    s->out->is_undecided = false;
}

uint32_t route_match(const struct route_table *t, const struct route_request *rq,
                     struct route_scratch *scratch, struct route_choice *out)
{
    struct search s = { .table = t, .rq = rq, .scratch = scratch, .out = out };
    search(&s);
    return out->index;
}

void route_explain(const struct route_table *t, const struct route_request *rq, struct route_scratch *scratch,
                   void (*on_step)(void *context, uint32_t index, struct slice why), void *context)
{
    struct route_choice ignored;
    struct search s = { t, rq, scratch, &ignored, on_step, context };
    search(&s);
}

struct route_scratch *route_scratch_new(void)
{
    struct route_scratch *s = calloc(1, sizeof(*s));
    if (!s) return NULL;
    s->match = pcre2_match_data_create(10, NULL) /* $0 to $9 */;
    s->context = pcre2_match_context_create(NULL);
    if (!s->match || !s->context) {
        route_scratch_free(s);
        return NULL;
    }
    pcre2_set_match_limit(s->context, ROUTE_REGEX_STEPS_MAX);
    pcre2_set_heap_limit(s->context, ROUTE_REGEX_KIB_MAX);
    return s;
}

void route_scratch_free(struct route_scratch *s)
{
    if (!s) return;
    pcre2_match_data_free(s->match);
    pcre2_match_context_free(s->context);
    free(s);
}

int route_scratch_match(struct route_scratch *s, const pcre2_code *regex, struct slice subject,
                        const PCRE2_SIZE **ends)
{
    PCRE2_SPTR bytes = (PCRE2_SPTR)subject.data;
    int count = pcre2_match(regex, bytes, subject.len, 0, 0, s->match, s->context);
    /* Compiled code has a small stack of its own, which a long path overflows: then it is interpreted, on the heap. */
    if (count == PCRE2_ERROR_JIT_STACKLIMIT)
        count = pcre2_match(regex, bytes, subject.len, 0, PCRE2_NO_JIT, s->match, s->context);
    if (ends) *ends = pcre2_get_ovector_pointer(s->match);
    return count == 0 ? 10 : count; /* 0: more groups than there is room for */
}

bool route_table_needs_scratch(const struct route_table *t)
{
    return t->has_regexes;
}
