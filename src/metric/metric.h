/* metric/metric.h: counters and histograms that workers count and the control side reads.
 *
 * The registry belongs to the control thread: it adds and retires series and allocates their cells. Each
 * worker has a shard: only it writes there, with plain loads and stores (relaxed atomics, no lock prefix);
 * anyone may read. A series' id is the index of its first cell, the same in every shard. Cells live in chunks
 * that are published one by one, so a series may be added while workers run; a worker learns of an id only
 * after its cells are there. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"
#include "metric/histogram.h"

#define METRIC_CHUNK_CELLS 512u
#define METRIC_CHUNKS_MAX 65536u /* for histograms of some 19,000 servers and routes */
#define METRIC_LABELS_MAX 6u

/* What a failed registration returns. It has cells of its own that nobody shows, so counting on it is
 * harmless. */
#define METRIC_NONE 0u

struct metric_label {
    const char *name, *value; /* borrowed during the call */
};

struct metric_registry;
struct exemplars;

struct metric_chunk {
    _Atomic uint64_t cells[METRIC_CHUNK_CELLS];
};

struct metric_shard {
    struct metric_chunk *_Atomic chunks[METRIC_CHUNKS_MAX];
};

/* shards: one for each thread that counts. series_max bounds the number of series. */
MUST_CHECK int metric_registry_new(struct metric_registry **out, uint32_t shards, uint32_t series_max,
                                   struct err *err);
void metric_registry_free(struct metric_registry *reg);
/* Owned by the registry. */
struct metric_shard *metric_shard_of(struct metric_registry *reg, uint32_t shard);

/* Registering the same family and labels again gives the same id, and counts: the series stays until each of those who
 * registered it has retired it. METRIC_NONE if a name is not a Prometheus
 * name, the family exists as another kind, the bound is reached or memory is out; metric_refused() counts
 * those. A counter's family ends in _total, a histogram's in _seconds (it is observed in microseconds). */
uint32_t metric_counter(struct metric_registry *reg, const char *family, const char *help,
                        const struct metric_label *labels, uint32_t label_count);
/* The same for one of many that mostly stay at 0: it is not shown until something was counted. */
uint32_t metric_counter_rare(struct metric_registry *reg, const char *family, const char *help,
                             const struct metric_label *labels, uint32_t label_count);
uint32_t metric_histogram(struct metric_registry *reg, const char *family, const char *help,
                          const struct metric_label *labels, uint32_t label_count);
/* Read on the control thread when metrics are shown. */
uint32_t metric_gauge_fn(struct metric_registry *reg, const char *family, const char *help,
                         const struct metric_label *labels, uint32_t label_count, double (*read)(void *ctx),
                         void *ctx);
uint32_t metric_counter_fn(struct metric_registry *reg, const char *family, const char *help,
                           const struct metric_label *labels, uint32_t label_count, double (*read)(void *ctx),
                           void *ctx);
/* Takes one registration back. With the last the series is no longer shown and its cells are cleared for reuse: call it
 * when no worker can count on it any more. A family without series is no longer shown either. METRIC_NONE is fine. */
void metric_retire(struct metric_registry *reg, uint32_t id);

/* What was registered while it was open, to be retired together. One opened within another takes what comes until it is
 * closed. */
struct metric_scope {
    struct metric_scope *outer;
    uint32_t *ids;
    uint32_t count, room;
};
void metric_scope_open(struct metric_registry *reg, struct metric_scope *scope);
void metric_scope_close(struct metric_registry *reg, struct metric_scope *scope);
void metric_scope_retire(struct metric_registry *reg, struct metric_scope *scope);

/* Across all shards; any thread, while the id is not retired. A histogram's sum is in microseconds. */
uint64_t metric_sum(const struct metric_registry *reg, uint32_t id);
/* Histograms only. */
uint64_t metric_count(const struct metric_registry *reg, uint32_t id);
/* In microseconds; 0 if nothing was observed. */
uint64_t metric_quantile(const struct metric_registry *reg, uint32_t id, double q);
/* Adds the histogram's cells to `cells`: for quantiles over several series. */
void metric_merge(const struct metric_registry *reg, uint32_t id, uint64_t cells[HISTOGRAM_CELLS]);

/* Likewise, how many are in the cells up to ends[0], from there up to ends[1], and so on; counts[count] is the rest. */
void metric_count_up_to(const struct metric_registry *reg, uint32_t id, const uint32_t *ends, uint32_t count,
                        uint64_t *counts);

/* Likewise, cells that are alike but for their last `bits` bits together: HISTOGRAM_CELLS >> bits groups, which wrap. */
void metric_fold(const struct metric_registry *reg, uint32_t id, uint32_t bits, uint32_t *groups);

/* From now on workers may keep exemplars of histograms: before they run. */
MUST_CHECK int metric_keep_exemplars(struct metric_registry *reg, struct err *err);
/* Borrowed; NULL: none are kept. Any thread. */
struct exemplars *metric_exemplars(const struct metric_registry *reg);

uint32_t metric_series_count(const struct metric_registry *reg);
uint64_t metric_refused(const struct metric_registry *reg);

/* The calling worker's own shard only. */
static inline void metric_add(struct metric_shard *shard, uint32_t id, uint64_t n)
{
    struct metric_chunk *chunk = atomic_load_explicit(&shard->chunks[id / METRIC_CHUNK_CELLS],
                                                      memory_order_acquire);
    _Atomic uint64_t *cell = &chunk->cells[id % METRIC_CHUNK_CELLS];
    atomic_store_explicit(cell, atomic_load_explicit(cell, memory_order_relaxed) + n, memory_order_relaxed);
}

/* What took no microsecond adds one to the sum: a sum of 0 says that no cell need be looked at. */
static inline void metric_observe(struct metric_shard *shard, uint32_t id, uint64_t us)
{
    metric_add(shard, id, us ? us : 1);
    metric_add(shard, id + 1 + histogram_index(us), 1);
}
