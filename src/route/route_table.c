#include "route/route_table.h"

#include <stdlib.h>

/* Rows with the same host and path differ in their order only. */
struct sorted_row {
    uint32_t host_at, host_len, path_at, path_len; /* in text */
    bool is_prefix;
    uint32_t index, order;
};

struct builder {
    struct route_table *table;
    struct sorted_row *rows;
    uint32_t *open; /* entries with a prefix route, each the beginning of the next */
    uint32_t count, text_len, entry_count, group_count;
};

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static int check_name(struct slice whole, struct slice name, struct err *err)
{
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
    if (r->path && r->path_prefix) return err_set(err, "it has both a path and a path prefix; keep one");
    return r->host ? route_check_host(slice_of(r->host), err) : 0;
}

static int compare(const struct builder *b, uint32_t a_at, uint32_t a_len, uint32_t b_at, uint32_t b_len)
{
    const char *text = b->table->text;
    uint32_t shorter = a_len < b_len ? a_len : b_len;
    int order = shorter ? memcmp(text + a_at, text + b_at, shorter) : 0;
    return order ? order : (a_len > b_len) - (a_len < b_len);
}

static int compare_rows(const void *left, const void *right, void *builder)
{
    const struct sorted_row *a = left, *b = right;
    int order = compare(builder, a->host_at, a->host_len, b->host_at, b->host_len);
    if (!order) order = compare(builder, a->path_at, a->path_len, b->path_at, b->path_len);
    return order ? order : (a->order > b->order) - (a->order < b->order);
}

static uint32_t add_text(struct builder *b, const char *text, size_t len)
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
    b->rows[b->count++] = (struct sorted_row){ .host_at = add_text(b, folded, host_len),
                                               .host_len = host_len,
                                               .path_at = add_text(b, path.data, path.len),
                                               .path_len = (uint32_t)path.len,
                                               .is_prefix = !r->path,
                                               .index = r->index,
                                               .order = order };
}

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
        .exact = ROUTE_NONE,
        .prefix = ROUTE_NONE,
        .next_shorter = *open_count ? b->open[*open_count - 1] : ROUTE_NONE,
    };
    t->groups[b->group_count - 1].count++;
}

/* Over the rows in order: one group a host, one entry a text, the first row of those alike. */
static void fill(struct builder *b)
{
    uint32_t open_count = 0;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct sorted_row *r = &b->rows[i], *before = i ? r - 1 : NULL;
        bool is_new_host = !before ||
                           compare(b, r->host_at, r->host_len, before->host_at, before->host_len) != 0;
        if (is_new_host) {
            add_host(b, r);
            open_count = 0;
        }
        if (is_new_host || compare(b, r->path_at, r->path_len, before->path_at, before->path_len) != 0)
            add_entry(b, r, &open_count);
        uint32_t last = b->entry_count - 1;
        struct route_entry *e = &b->table->entries[last];
        uint32_t *index = r->is_prefix ? &e->prefix : &e->exact;
        if (*index != ROUTE_NONE) continue;
        *index = r->index;
        if (r->is_prefix) b->open[open_count++] = last;
    }
}

static int allocate(struct builder *b, const struct route_row *rows, uint32_t count)
{
    struct route_table *t = b->table;
    size_t text_len = 1, slots = 2;
    for (uint32_t i = 0; i < count; i++)
        text_len += slice_of(rows[i].host).len + slice_of(rows[i].path).len +
                    slice_of(rows[i].path_prefix).len;
    while (slots < (size_t)count * 2) slots *= 2;
    if (text_len > UINT32_MAX || slots > UINT32_MAX) return -1;
    t->text = malloc(text_len);
    t->entries = calloc(count + 1, sizeof(*t->entries));
    t->groups = calloc(count + 1, sizeof(*t->groups));
    t->hosts = calloc(slots, sizeof(*t->hosts));
    b->rows = calloc(count + 1, sizeof(*b->rows));
    b->open = calloc(count + 1, sizeof(*b->open));
    if (!t->text || !t->entries || !t->groups || !t->hosts || !b->rows || !b->open) return -1;
    t->host_mask = (uint32_t)slots - 1;
    t->any_group = ROUTE_NONE;
    for (size_t i = 0; i < slots; i++) t->hosts[i].group = ROUTE_NONE;
    return 0;
}

struct route_table *route_table_new(const struct route_row *rows, uint32_t count, struct err *err)
{
    for (uint32_t i = 0; i < count; i++) {
        if (check_row(&rows[i], err) == 0) continue;
        err_prefix(err, "route \"%s\"", rows[i].name ? rows[i].name : "");
        return NULL;
    }
    struct builder b = { .table = calloc(1, sizeof(struct route_table)) };
    if (!b.table || allocate(&b, rows, count) < 0) {
        err_set(err, "out of memory for %u routes", count);
        route_table_free(b.table);
        b.table = NULL;
    } else {
        for (uint32_t i = 0; i < count; i++) copy_row(&b, &rows[i], i);
        qsort_r(b.rows, b.count, sizeof(*b.rows), compare_rows, &b);
        fill(&b);
    }
    free(b.rows);
    free(b.open);
    return b.table;
}

void route_table_free(const struct route_table *t)
{
    if (!t) return;
    free(t->text);
    free(t->entries);
    free(t->groups);
    free(t->hosts);
    free((void *)(uintptr_t)t);
}
