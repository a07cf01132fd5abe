/* pool/slot.h: a server under a cap has so many slots, shared by all workers: exchanges in flight, or open connections.
 * While somebody waits for a pool (pool/queue.h), on whatever worker, a slot that is freed is not given up but handed to
 * whose turn it is, and those who come later are told that the server is full. That worker's thread only. */
#pragma once

#include "pool/pool_worker.h"

/* Without a cap (0) there is always one. */
bool slot_take(_Atomic uint32_t *counter, uint32_t cap);
void slot_give(_Atomic uint32_t *counter);
/* One in flight that this worker holds is nobody's any more, and nobody is asked whether he waits for it. */
void slot_give_up(struct pool_worker *pw, struct server *s);
/* One in flight, unless others are before; who has his turn takes the one that is held for him. */
bool slot_enter(struct pool_worker *pw, struct server *s);
/* One that is counted in flight is free now: it goes to whose turn it is, or is given up. */
void slot_free(struct pool_worker *pw, struct server *s);
/* There may be a free one, and somebody who waits for it. */
void slot_pass(struct pool_worker *pw, struct server *s);
/* Takes up to `wanted` that are free for those who wait here. */
void slot_look(struct pool_worker *pw, uint32_t wanted);

/* For pool_worker_life.c. */
void slot_init(struct pool_worker *pw);
void slot_fini(struct pool_worker *pw);
