/* proxy/share.h: which worker serves a connection that has come. The kernel gives each worker its connections by a hash of
 * addresses and ports, and who has kept many does not get fewer: a worker that has a fifth more than the average hands new
 * ones over, before a byte of them is read, until it has no more than a tenth more (docs/decisions/0048). The choice is pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* What a worker has, as others see it. */
struct share_load {
    uint32_t connections; /* of clients, with those that are handed to it and under way */
    uint32_t exchanges;   /* and tunnels: that go on */
    bool takes;           /* it can be handed any */
};

/* Fewer do not matter: a hand-over costs a wake-up. */
#define SHARE_APART_MIN 4u

/* Who serves one more that has come to `own` of `count`: an index. *is_sharing is `own`'s: whether it hands over, which it goes
 * on with until it is even. Nobody is handed any who has more going on than the others. */
uint32_t share_choose(bool *is_sharing, const struct share_load *loads, uint32_t count, uint32_t own);
/* Whether whoever has `connections` of `all` that `count` have together has too much: else it serves what comes, whatever each of the
 * others has. */
bool share_is_over(bool is_sharing, uint32_t connections, uint64_t all, uint32_t count);

/* A worker's part. Its thread only, but for what says otherwise. */
struct share {
    struct share_load
        *loads; /* of all workers, as last looked at; NULL: it is alone, or there was no memory */
    uint64_t turn;
    bool is_sharing;
    _Atomic uint32_t arriving; /* handed to it and under way; those who hand over write, any may look */
    _Atomic uint64_t handed_over, taken_over; /* it writes, any may look */
};

void share_init(struct share *s, uint32_t worker_count);
void share_fini(struct share *s);
