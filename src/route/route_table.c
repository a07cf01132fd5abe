#include "route/route_table.h"

#include <stdlib.h>

enum row_kind { ROW_EXACT, ROW_PREFIX, ROW_REGEX };

struct sorted_row {
    const struct route_row *row;
    uint32_t host_at, host_len, path_at, path_len; /* in text */
    enum row_kind kind;
    uint32_t order;
};

struct builder {
    struct route_table *table;
    struct sorted_row *rows;
    uint32_t *open; /* entries with a prefix route, each the beginning of the next */
    uint32_t count, text_len, entry_count, group_count;
    struct err *err;
};

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static int check_name(struct slice whole, struct slice name, struct err *err)
{
    if (name.len && (memmem(name.data, name.len, "://", 3) || memchr(name.data, '/', name.len)))
        return err_set(err,
                       "\"%.*s\" is more than a host; write the name alone, like api.example.com, and the "
                       "path in `path_prefix`",
                       SLICE_ARGS(whole));
    for (size_t i = 0; i < name.len; i++) {
        if (is_host_char(name.data[i])) continue;
        if (name.data[i] == ':')
            return err_set(err, "\"%.*s\" names a port; routes go by host alone", SLICE_ARGS(whole));
        if (name.data[i] == '*')
            return err_set(err,
                           "\"%.*s\" has its wildcard elsewhere than in front; write one like *.example.com",
                           SLICE_ARGS(whole));
        if (name.data[i] != '.')
            return err_set(err,
                           "\"%.*s\" has a character that no host name has; names in other scripts are "
                           "written as xn--…",
                           SLICE_ARGS(whole));
        if (i == 0 || name.data[i - 1] == '.')
            return err_set(err, "\"%.*s\" has an empty label", SLICE_ARGS(whole));
    }
    return 0;
}

int route_check_host(struct slice host, struct err *err)
{
    struct slice name = host;
    if (host.len > ROUTE_HOST_MAX)
        return err_set(err, "a host may have %u bytes, this one has %zu", ROUTE_HOST_MAX, host.len);
    if (slice_starts_with(host, SLICE("*."))) name = (struct slice){ host.data + 2, host.len - 2 };
    if (host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']') {
        for (size_t i = 1; i + 1 < host.len; i++)
            if (!strchr("0123456789abcdefABCDEF:.", host.data[i]) || !host.data[i])
                return err_set(err, "\"%.*s\" is no IPv6 address", SLICE_ARGS(host));
        return 0;
    }
    if (!name.len || slice_equal(name, SLICE(".")) || slice_equal(host, SLICE("*")))
        return err_set(err, "\"%.*s\" is no host; leave `host` out for any", SLICE_ARGS(host));
    return check_name(host, name, err);
}

static int check_row(const struct route_row *r, struct err *err)
{
    int paths = (r->path != NULL) + (r->path_prefix != NULL) + (r->path_regex != NULL);
    if (paths > 1)
        return err_set(err, "it has more than one of path, path prefix and regular expression; keep one");
    return r->host ? route_check_host(slice_of(r->host), err) : 0;
}

int route_check_regex(const char *regex, struct err *err)
{
    int code;
    PCRE2_SIZE offset;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)regex, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_BACKSLASH_C,
                                         &code, &offset, NULL);
    if (!compiled) {
        PCRE2_UCHAR why[128];
        pcre2_get_error_message(code, why, sizeof(why));
        return err_set(err, "\"%s\" is no regular expression: %s at its byte %zu", regex, (char *)why,
                       (size_t)offset + 1);
    }
    pcre2_code_free(compiled);
    return 0;
}

static int compare_patterns(const struct builder *b, uint32_t a_at, uint32_t a_len, uint32_t b_at,
                            uint32_t b_len)
{
    const char *text = b->table->text;
    uint32_t shorter = a_len < b_len ? a_len : b_len;
    int order = shorter ? memcmp(text + a_at, text + b_at, shorter) : 0;
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static uint32_t conditions_of(const struct route_row *r)
{
    return r->header_count + r->query_count + (r->client_count > 0) + (r->scheme != ROUTE_SCHEME_ANY) +
           (r->not != NULL);
}

/* By host, then by path, regular expressions behind; what is alike in both in the order in which it is asked. */
static int compare_rows(const void *left, const void *right, void *builder)
{
    const struct sorted_row *a = left, *b = right;
    int order = compare_patterns(builder, a->host_at, a->host_len, b->host_at, b->host_len);
    if (!order) order = (a->kind == ROW_REGEX) - (b->kind == ROW_REGEX);
    if (!order && a->kind != ROW_REGEX) {
        uint32_t a_more = conditions_of(a->row), b_more = conditions_of(b->row);
        order = compare_patterns(builder, a->path_at, a->path_len, b->path_at, b->path_len);
        if (!order) order = (int)a->kind - (int)b->kind;
        if (!order) order = (b->row->method_count > 0) - (a->row->method_count > 0);
        if (!order) order = (a_more < b_more) - (a_more > b_more);
    }
    return order ? order : (a->order > b->order) - (a->order < b->order);
}

static uint32_t add_pattern_text(struct builder *b, const char *text, size_t len)
{
    uint32_t at = b->text_len;
    if (len) memcpy(b->table->text + at, text, len);
    b->text_len += (uint32_t)len;
    return at;
}

static void copy_row(struct builder *b, const struct route_row *r, uint32_t order)
{
    char folded[ROUTE_HOST_MAX];
    struct slice host = slice_of(r->host), path = slice_of(r->path ? r->path : r->path_prefix);
    if (slice_starts_with(host, SLICE("*."))) host = (struct slice){ host.data + 1, host.len - 1 };
    uint32_t host_len = route_fold_host(host, folded);
    b->rows[b->count++] = (struct sorted_row){ .row = r,
                                               .host_at = add_pattern_text(b, folded, host_len),
                                               .host_len = host_len,
                                               .path_at = add_pattern_text(b, path.data, path.len),
                                               .path_len = (uint32_t)path.len,
                                               .kind = r->path_regex ? ROW_REGEX
                                                       : r->path     ? ROW_EXACT
                                                                     : ROW_PREFIX,
                                               .order = order };
}

/* conditions */

static struct slice keep_text(struct builder *b, const char *text)
{
    size_t len = strlen(text);
    return (struct slice){ b->table->text + add_pattern_text(b, text, len), len };
}

static void add_probe(struct builder *b, const struct route_condition *c, bool is_header)
{
    struct route_probe *p = &b->table->probes[b->table->probe_count++];
    const char *value = c->value;
    bool is_negated = value[0] == '!';
    if (is_negated) value++;
    bool is_any = strcmp(value, "*") == 0;
    p->name = keep_text(b, c->name);
    p->value = keep_text(b, value);
    p->test = is_any ? (is_negated ? ROUTE_IS_ABSENT : ROUTE_IS_THERE)
                     : (is_negated ? ROUTE_IS_NOT : ROUTE_IS);
    if (!is_header) return;
    char *name = (char *)(uintptr_t)p->name.data;
    for (size_t i = 0; i < p->name.len; i++)
        name[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 32) : name[i];
    p->field_id = (uint8_t)http_field_id_of(p->name);
}

static void add_methods(struct builder *b, const struct route_row *r, struct route_candidate *c)
{
    c->first_method = b->table->method_count;
    for (uint32_t i = 0; i < r->method_count; i++) {
        enum http_method m = http_method_of(slice_of(r->methods[i]));
        if (m != HTTP_OTHER) {
            c->methods |= 1u << m;
            continue;
        }
        b->table->methods[b->table->method_count++] = keep_text(b, r->methods[i]);
        c->method_count++;
    }
}

static int add_regex(struct builder *b, const struct route_row *r, struct route_candidate *c)
{
    int code;
    PCRE2_SIZE offset;
    if (route_check_regex(r->path_regex, b->err) < 0) return -1;
    c->regex = pcre2_compile((PCRE2_SPTR)r->path_regex, PCRE2_ZERO_TERMINATED, PCRE2_NEVER_BACKSLASH_C, &code,
                             &offset, NULL);
    if (!c->regex) return err_set(b->err, "out of memory for a regular expression");
    pcre2_jit_compile(c->regex, PCRE2_JIT_COMPLETE); /* where there is none it is interpreted */
    b->table->has_regexes = true;
    return 0;
}

/* Behind the others of its list, which are there already. */
static int add_candidate(struct builder *b, const struct route_row *r, struct route_list *list)
{
    struct route_table *t = b->table;
    if (!list->count) list->first = t->candidate_count;
    list->count++;
    struct route_candidate *c = &t->candidates[t->candidate_count++];
    *c = (struct route_candidate){ .index = r->index,
                                   .first_probe = t->probe_count,
                                   .header_count = r->header_count,
                                   .query_count = r->query_count,
                                   .first_client = t->client_count,
                                   .client_count = r->client_count,
                                   .scheme = r->scheme,
                                   .not = r->not };
    add_methods(b, r, c);
    for (uint32_t i = 0; i < r->header_count; i++) add_probe(b, &r->headers[i], true);
    for (uint32_t i = 0; i < r->query_count; i++) add_probe(b, &r->query[i], false);
    for (uint32_t i = 0; i < r->client_count; i++) t->clients[t->client_count++] = r->clients[i];
    return r->path_regex ? add_regex(b, r, c) : 0;
}

/* hosts and paths */

static void add_host(struct builder *b, const struct sorted_row *r)
{
    struct route_table *t = b->table;
    uint32_t group = b->group_count++;
    t->groups[group] = (struct route_group){ .first = b->entry_count };
    if (!r->host_len) {
        t->any_group = group;
        return;
    }
    const char *host = t->text + r->host_at;
    uint64_t hash = route_hash_host(host, r->host_len);
    uint32_t i = (uint32_t)hash & t->host_mask;
    while (t->hosts[i].group != ROUTE_NONE) i = (i + 1) & t->host_mask;
    t->hosts[i] = (struct route_host){ hash, r->host_at, r->host_len, group };
    t->has_hosts = true;
    if (host[0] != '.') return;
    t->has_wildcards = true;
    t->wildcard_lens[r->host_len / 64] |= UINT64_C(1) << (r->host_len % 64);
}

static bool begins_with(const struct route_table *t, const struct sorted_row *r, const struct route_entry *e)
{
    return r->path_len >= e->len && memcmp(t->text + r->path_at, t->text + e->at, e->len) == 0;
}

static void add_entry(struct builder *b, const struct sorted_row *r, uint32_t *open_count)
{
    struct route_table *t = b->table;
    while (*open_count && !begins_with(t, r, &t->entries[b->open[*open_count - 1]])) --*open_count;
    t->entries[b->entry_count++] = (struct route_entry){
        .head = route_head_of(t->text + r->path_at, r->path_len),
        .at = r->path_at,
        .len = r->path_len,
        .next_shorter = *open_count ? b->open[*open_count - 1] : ROUTE_NONE,
    };
    t->groups[b->group_count - 1].count++;
}

static int add_path(struct builder *b, const struct sorted_row *r, bool is_new, uint32_t *open_count)
{
    if (is_new) add_entry(b, r, open_count);
    uint32_t last = b->entry_count - 1;
    struct route_entry *e = &b->table->entries[last];
    if (r->kind == ROW_EXACT) return add_candidate(b, r->row, &e->exact);
    if (!e->prefix.count) b->open[(*open_count)++] = last;
    return add_candidate(b, r->row, &e->prefix);
}

/* Over the rows in order: one group a host, one entry a text. */
static int fill_table(struct builder *b)
{
    uint32_t open_count = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct sorted_row *r = &b->rows[i], *before = i ? r - 1 : NULL;
        int result;
        bool is_new_host = !before || compare_patterns(b, r->host_at, r->host_len, before->host_at,
                                                       before->host_len) != 0;
        if (is_new_host) {
            add_host(b, r);
            open_count = 0;
        }
        if (r->kind == ROW_REGEX) {
            result = add_candidate(b, r->row, &b->table->groups[b->group_count - 1].regexes);
        } else {
            bool is_new = is_new_host || compare_patterns(b, r->path_at, r->path_len, before->path_at,
                                                          before->path_len) != 0;
            result = add_path(b, r, is_new, &open_count);
        }
        if (result < 0) return err_prefix(b->err, "route \"%s\"", r->row->name ? r->row->name : "");
    }
    return 0;
}

struct sizes {
    size_t text, probes, methods, clients;
};

static void add_conditions(struct sizes *n, const struct route_condition *conditions, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) n->text += strlen(conditions[i].name) + strlen(conditions[i].value);
    n->probes += count;
}

static void measure(const struct route_row *r, struct sizes *n)
{
    n->text += slice_of(r->host).len + slice_of(r->path).len + slice_of(r->path_prefix).len;
    add_conditions(n, r->headers, r->header_count);
    add_conditions(n, r->query, r->query_count);
    for (uint32_t i = 0; i < r->method_count; i++) n->text += strlen(r->methods[i]);
    n->methods += r->method_count;
    n->clients += r->client_count;
}

static int allocate(struct builder *b, const struct route_row *rows, uint32_t count)
{
    struct route_table *t = b->table;
    struct sizes n = { .text = 1 };
    size_t slots = 2;
    for (uint32_t i = 0; i < count; i++) measure(&rows[i], &n);
    while (slots < (size_t)count * 2) slots *= 2;
    if (n.text > UINT32_MAX || slots > UINT32_MAX) return -1;
    t->text = malloc(n.text);
    t->entries = calloc(count + 1, sizeof(*t->entries));
    t->groups = calloc(count + 1, sizeof(*t->groups));
    t->hosts = calloc(slots, sizeof(*t->hosts));
    t->candidates = calloc(count + 1, sizeof(*t->candidates));
    t->probes = calloc(n.probes + 1, sizeof(*t->probes));
    t->methods = calloc(n.methods + 1, sizeof(*t->methods));
    t->clients = calloc(n.clients + 1, sizeof(*t->clients));
    b->rows = calloc(count + 1, sizeof(*b->rows));
    b->open = calloc(count + 1, sizeof(*b->open));
    if (!t->text || !t->entries || !t->groups || !t->hosts || !t->candidates || !t->probes || !t->methods ||
        !t->clients || !b->rows || !b->open)
        return -1;
    t->host_mask = (uint32_t)slots - 1;
    t->any_group = ROUTE_NONE;
    for (size_t i = 0; i < slots; i++) t->hosts[i].group = ROUTE_NONE;
    return 0;
}

static void free_table(struct route_table *t)
{
    if (!t) return;
    for (uint32_t i = 0; t->candidates && i < t->candidate_count; i++)
        pcre2_code_free(t->candidates[i].regex);
    free(t->text);
    free(t->entries);
    free(t->groups);
    free(t->hosts);
    free(t->candidates);
    free(t->probes);
    free(t->methods);
    free(t->clients);
    free(t);
}

struct route_table *route_table_new(const struct route_row *rows, uint32_t count, struct err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        if (check_row(&rows[i], err) == 0) continue;
        err_prefix(err, "route \"%s\"", rows[i].name ? rows[i].name : "");
        return NULL;
    }
    struct builder b = { .table = calloc(1, sizeof(struct route_table)), .err = err };
    if (!b.table) {
        err_set(err, "out of memory for %u routes", count);
        return NULL;
    }
    int result = -1;
    if (allocate(&b, rows, count) < 0) {
        err_set(err, "out of memory for %u routes", count);
    } else {
        for (uint32_t i = 0; i < count; i++) copy_row(&b, &rows[i], i);
        qsort_r(b.rows, b.count, sizeof(*b.rows), compare_rows, &b);
        result = fill_table(&b);
    }
    free(b.rows);
    free(b.open);
    if (result == 0) return b.table;
    free_table(b.table);
    return NULL;
}

void route_table_free(const struct route_table *t)
{
    free_table((struct route_table *)(uintptr_t)t);
}
