/* metric/exemplars.h: of what a histogram has counted, one observation a bucket by the trace that it was part of: the latest
 * (OpenMetrics 1.0, "Exemplars"). Each worker has a table of so many, in which whoever comes later takes the place of an earlier
 * one, its own bucket's or by chance another's: memory is bounded, and what is shown is the latest of its bucket.
 *
 * A worker never waits: while the table is read it leaves an observation out. Reading is the control side's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "metric/bucket.h"

#define EXEMPLAR_TRACE_BYTES 16u
/* In each worker's table: the buckets of some hundred histograms. */
#define EXEMPLARS_MAX 2048u

struct exemplar {
    uint8_t trace_id[EXEMPLAR_TRACE_BYTES];
    uint64_t us;      /* what was observed */
    uint64_t wall_ms; /* when, since 1970 */
};

struct exemplars;

/* `shards`: one for each thread that counts. */
MUST_CHECK int exemplars_new(struct exemplars **out, uint32_t shards, struct err *err);
void exemplars_free(struct exemplars *e); /* NULL is fine */

/* The calling worker's own shard only. `series`: a histogram's id. */
void exemplars_put(struct exemplars *e, uint32_t shard, uint32_t series, const struct exemplar *x);

/* Nothing is put in between; no other call but the next. NULL is fine for the three of them. */
void exemplars_hold(struct exemplars *e);
void exemplars_let_go(struct exemplars *e);
/* Between the two: the latest of all shards, good until they are let go; NULL: there is none. */
const struct exemplar *exemplars_find(const struct exemplars *e, uint32_t series, uint32_t bucket);

/* Another series may get its id. No worker observes it any more. NULL is fine. */
void exemplars_forget(struct exemplars *e, uint32_t series);
