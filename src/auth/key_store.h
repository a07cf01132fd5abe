/* auth/key_store.h: what key_source.c and key_fetcher.c share: all sources of the process, and the lock of them. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "auth/key_source.h"
#include "base/list.h"

struct key_source {
    struct list link; /* of key_store.sources */
    char *url, *ca;
    _Atomic uint64_t number, may_miss_ms;
    /* With the lock. */
    uint32_t references;
    char *text; /* that came last and is good; NULL: none has */
    size_t len;
    uint32_t keys, failures;
    uint64_t come_ms, next_ms; /* of CLOCK_MONOTONIC */
    bool is_used;              /* by the configuration in force */
    uint64_t missed_ms; /* when a token named a key that is not there; 0: none has since it was asked */
    bool is_fetching;
    char error[ERR_TEXT_MAX];
};

struct key_store {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* of CLOCK_MONOTONIC */
    struct list sources;
};

/* The only one, which is there when it is asked for first. */
struct key_store *key_store(void);
/* Those with the lock held. */

/* The one of those that are used that should have been asked for the longest time, so that none that keeps everybody waiting comes
 * before one that does not. NULL: none is due before *until_ms; UINT64_MAX: nor then. */
struct key_source *key_store_due(uint64_t now_ms, uint64_t *until_ms);
void key_store_put(struct key_source *s);
