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
    bool is_missed, is_fetching;
    char error[ERR_TEXT_MAX];
};

struct key_store {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* of CLOCK_MONOTONIC */
    struct list sources;
};

/* The only one, which is there when it is asked for first. */
struct key_store *key_store(void);
/* With the lock held. */
void key_store_put(struct key_source *s);
