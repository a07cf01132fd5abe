/* pool/pool_worker_life.h: a worker's part of a pool from its making to its end: the peer sets that it goes by, and when its idle
 * connections close. It knows the queue and the connections, so that pool/pool_worker.h need not. The worker's thread, but for what
 * says otherwise. */
#pragma once

#include "pool/pool_worker.h"

/* Becomes p->workers[env->index]; control thread, before the worker hears of the pool. */
MUST_CHECK int pool_worker_new(struct pool_worker **out, struct pool *p, const struct pool_worker_env *env,
                               struct err *err);
/* Closes idle connections. No exchange may be left. */
void pool_worker_free(struct pool_worker *pw);
/* Takes a new peer set; the reference is taken over. */
void pool_worker_publish(struct pool_worker *pw, struct peer_set *set);

/* No configuration has its servers any more: idle connections close, so many a turn. */
void pool_worker_close_unwanted(struct pool_worker *pw);
/* All idle connections close now. */
void pool_worker_close_idle(struct pool_worker *pw);
/* It is the last that the worker hears of the pool. */
void pool_worker_forget(struct pool_worker *pw);
