/* coding/encoder_pool.h: a worker's encoders: bounded, and kept for the next response. Together they draw an eighth of the
 * process's memory (`limits: {memory}`) at most, each worker its share of that; beyond it there is none, and a response goes as
 * it is. */
#pragma once

#include "base/block.h"
#include "coding/encoder.h"

struct encoder_pool {
    struct block_pool *blocks;                    /* of its worker, on whose budget encoders draw; borrowed */
    struct list idle;                             /* of encoder, the latest used first */
    uint64_t limit_bytes, used_bytes, idle_bytes; /* used: by those handed out */
};

/* share: how many workers there are. */
void encoder_pool_init(struct encoder_pool *p, struct block_pool *blocks, uint32_t share);
/* All must have been put back. */
void encoder_pool_fini(struct encoder_pool *p);
/* NULL: the bound is reached, or memory is out. */
struct encoder *encoder_pool_get(struct encoder_pool *p, struct encoder_shape shape);
/* NULL is fine. */
void encoder_pool_put(struct encoder_pool *p, struct encoder *e);
/* Gives back what is kept. */
void encoder_pool_trim(struct encoder_pool *p);
