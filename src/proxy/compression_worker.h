/* proxy/compression_worker.h: what a worker and a listener have of compressions: encoders, whose turn it is, counters. What is done with
 * it: proxy/compression.h, beside which these are. */
#pragma once

#include "coding/compress.h"
#include "coding/encoder_pool.h"
#include "net/loop.h"

struct metric_registry;

/* A listener's. */
struct compression_meters {
    uint32_t responses[CODINGS_MADE], bytes_in[CODINGS_MADE], bytes_out[CODINGS_MADE];
    uint32_t passed[COMPRESS_VERDICT_COUNT]; /* as they are, though their route compresses */
};
void compression_add_meters(struct compression_meters *c, struct metric_registry *m, const char *listener);

/* A worker's. */
struct compression_worker {
    struct encoder_pool encoders;
    struct loop *loop;
    struct list waiting; /* of compression: for a share of a turn */
    struct loop_task task;
    uint64_t turn, spent_ns; /* of the loop's turn of that number */
};

void compression_worker_init(struct compression_worker *w, struct loop *l, uint32_t worker_count);
void compression_worker_fini(struct compression_worker *w);
