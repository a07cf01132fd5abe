#define XXH_INLINE_ALL
#include <xxhash.h>

#include "route/route_table.h"

const char *route_host_reason_name(enum route_host_reason reason)
{
    static const char *const names[] = { "any", "wildcard", "exact" };
    return reason <= ROUTE_HOST_EXACT ? names[reason] : "unknown";
}

const char *route_path_reason_name(enum route_path_reason reason)
{
    static const char *const names[] = { "any", "prefix", "exact" };
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

/* The last entry that does not come after the path begins with every entry that the path begins with:
 * whatever lies in order between a text and an extension of it is an extension, too. So one search finds them
 * all. */
static bool match_path(const struct route_table *t, uint32_t group, struct slice path,
                       struct route_choice *out)
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
    if (!low) return false;
    const struct route_entry *e = &entries[low - 1];
    size_t common = common_len(t->text + e->at, e->len, path.data, path.len);
    if (e->exact != ROUTE_NONE && e->len == path.len && common == path.len) {
        out->index = e->exact;
        out->path = ROUTE_PATH_EXACT;
        return true;
    }
    while (e->prefix == ROUTE_NONE || e->len > common) {
        if (e->next_shorter == ROUTE_NONE) return false;
        e = &t->entries[e->next_shorter];
    }
    out->index = e->prefix;
    out->path = e->len ? ROUTE_PATH_PREFIX : ROUTE_PATH_ANY;
    return true;
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

static bool match_named_host(const struct route_table *t, struct slice host, struct slice path,
                             struct route_choice *out)
{
    char folded[ROUTE_HOST_MAX];
    uint32_t len = route_fold_host(host, folded);
    if (!len || folded[0] == '.') return false;
    uint32_t group = find_host(t, folded, len);
    out->host = ROUTE_HOST_EXACT;
    if (group != ROUTE_NONE && match_path(t, group, path, out)) return true;
    out->host = ROUTE_HOST_WILDCARD;
    for (uint32_t i = 1; t->has_wildcards && i < len; i++) {
        if (folded[i] != '.' || !has_wildcard_of(t, len - i)) continue;
        group = find_host(t, folded + i, len - i);
        if (group != ROUTE_NONE && match_path(t, group, path, out)) return true;
    }
    return false;
}

uint32_t route_match(const struct route_table *t, struct slice host, struct slice path,
                     struct route_choice *out)
{
    if (t->has_hosts && match_named_host(t, host, path, out)) return out->index;
    out->host = ROUTE_HOST_ANY;
    if (t->any_group != ROUTE_NONE && match_path(t, t->any_group, path, out)) return out->index;
    *out = (struct route_choice){ ROUTE_NONE, ROUTE_HOST_ANY, ROUTE_PATH_ANY };
    return ROUTE_NONE;
}
