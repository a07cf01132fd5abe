/* The rule of route/route.h, said plainly: every row is tried, the best one kept. For the unit test and the
 * fuzzer. */
#pragma once

#include <stdlib.h>

#include "route/route.h"

/* A match by host and path alone. */
static inline uint32_t match_plain(const struct route_table *t, struct slice host, struct slice path,
                                   struct route_choice *out)
{
    struct route_request rq = { .host = host, .path = path };
    return route_match(t, &rq, NULL, out);
}

static inline struct slice linear_host(struct slice host)
{
    size_t digits = host.len;
    while (digits && host.data[digits - 1] >= '0' && host.data[digits - 1] <= '9') digits--;
    if (digits && host.data[digits - 1] == ':') host.len = digits - 1;
    if (host.len && host.data[host.len - 1] == '.') host.len--;
    return host;
}

/* How specific: 0 does not match, 1 any, 2 + length a wildcard, 1000 in full. */
static inline uint32_t linear_rank_host(const char *row, struct slice host)
{
    if (!row) return 1;
    host = linear_host(host);
    if (host.len > ROUTE_HOST_MAX || (host.len && host.data[0] == '.')) return 0;
    struct slice pattern = linear_host(slice_of(row));
    if (pattern.data[0] != '*') return slice_equal_fold(pattern, host) ? 1000 : 0;
    struct slice tail = { pattern.data + 1, pattern.len - 1 };
    if (host.len <= tail.len) return 0;
    struct slice end = { host.data + host.len - tail.len, tail.len };
    return slice_equal_fold(end, tail) ? 2 + (uint32_t)tail.len : 0;
}

/* Likewise: 0, 1 + length of the prefix, UINT32_MAX in full. */
static inline uint32_t linear_rank_path(const struct route_row *row, struct slice path)
{
    if (row->path) return slice_equal(slice_of(row->path), path) ? UINT32_MAX : 0;
    struct slice prefix = slice_of(row->path_prefix);
    return slice_starts_with(path, prefix) ? 1 + (uint32_t)prefix.len : 0;
}

static inline uint32_t linear_match(const struct route_row *rows, uint32_t count, struct slice host,
                                    struct slice path, struct route_choice *out)
{
    uint32_t best_host = 0, best_path = 0;
    *out = (struct route_choice){ .index = ROUTE_NONE };
    for (uint32_t i = 0; i < count; i++) {
        uint32_t rank_host = linear_rank_host(rows[i].host, host);
        uint32_t rank_path = linear_rank_path(&rows[i], path);
        if (!rank_host || !rank_path || rank_host < best_host) continue;
        if (rank_host == best_host && rank_path <= best_path) continue;
        best_host = rank_host;
        best_path = rank_path;
        out->index = rows[i].index;
        out->host = rank_host == 1      ? ROUTE_HOST_ANY
                    : rank_host == 1000 ? ROUTE_HOST_EXACT
                                        : ROUTE_HOST_WILDCARD;
        out->path = rank_path == 1 ? ROUTE_PATH_ANY : rows[i].path ? ROUTE_PATH_EXACT : ROUTE_PATH_PREFIX;
    }
    return out->index;
}
