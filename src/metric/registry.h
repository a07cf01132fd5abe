/* metric/registry.h: the insides of a registry, for metric.c and exposition.c alone. Control thread. */
#pragma once

#include <stdbool.h>

#include "base/list.h"
#include "metric/exemplars.h"
#include "metric/metric.h"

enum metric_kind { METRIC_COUNTER, METRIC_HISTOGRAM, METRIC_GAUGE };

struct metric_series {
    struct list in_family;
    struct metric_series *next_in_bucket; /* of series with the same hash */
    struct metric_series *next_by_id;     /* likewise, of ids */
    struct metric_family *family;
    uint64_t hash;             /* of the family's name and the labels */
    uint32_t id, users;        /* users: registrations that were not retired */
    bool is_rare;              /* not shown while it is 0 */
    double (*read)(void *ctx); /* NULL: it has cells */
    void *ctx;
    char labels[]; /* a="b",c="d" escaped, sorted by name */
};

struct metric_family {
    struct list in_registry; /* sorted by name */
    struct list series;
    enum metric_kind kind;
    char *help;
    char name[];
};

struct metric_span; /* cells of a retired series */

struct metric_registry {
    struct list families;
    struct exemplars *exemplars; /* NULL: none are kept */
    struct metric_shard **shards;
    uint32_t shard_count;
    uint32_t series_count, series_max;
    uint32_t next_cell;
    uint32_t chunk_count; /* published in every shard */
    uint64_t refused;
    struct metric_scope *scope; /* NULL: none is open */
    struct metric_span *idle_counters, *idle_histograms;
    struct metric_series **by_hash, **by_id;
    uint32_t bucket_count; /* a power of two */
};

/* A rare one has nothing to show while it is 0. */
static inline bool metric_is_shown(const struct metric_registry *reg, const struct metric_series *series)
{
    return !series->is_rare || metric_sum(reg, series->id);
}

static inline bool metric_has_shown(const struct metric_registry *reg, const struct metric_family *family)
{
    for (const struct list *at = family->series.next; at != &family->series; at = at->next)
        if (metric_is_shown(reg, container_of(at, struct metric_series, in_family))) return true;
    return false;
}
