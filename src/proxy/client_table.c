#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proxy/client_table.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "proxy/bucket_memory.h"

#define BUCKET_CLIENTS 15
#define BUCKET_MEAN 8 /* clients in a bucket of a table that has as many as it is made for */
#define COUNT_MASK UINT64_C(0xffffff)

/* control: how many connections are in the bucket uncounted (32 bits), whether a client is being added (a
 * bit), and how often one has been: so that who has seen the control word before looking through the clients
 * and finds it unchanged afterwards knows that none was added in between.
 * clients: mark (40 bits, of the hash) and count (24 bits); 0 where there is none. Counts go up and down with
 * one compare-and-swap. Only whoever holds IS_ADDING may turn a 0 into a client, so none is in a bucket
 * twice. */
struct bucket {
    _Alignas(128) _Atomic uint64_t control;
    _Atomic uint64_t clients[BUCKET_CLIENTS];
};

#define UNCOUNTED_MASK UINT64_C(0xffffffff)
#define IS_ADDING (UINT64_C(1) << 32)
#define ADDED (UINT64_C(1) << 33)

struct client_table {
    struct bucket_memory memory; /* of struct bucket */
    _Atomic uint64_t uncounted;
};

struct client_table *client_table_new(uint32_t clients)
{
    struct client_table *t = calloc(1, sizeof(*t));
    if (t && !bucket_memory_init(&t->memory, clients, BUCKET_MEAN, sizeof(struct bucket))) {
        free(t);
        return NULL;
    }
    return t;
}

void client_table_free(struct client_table *t)
{
    if (!t) return;
    bucket_memory_fini(&t->memory);
    free(t);
}

struct place {
    struct bucket *bucket;
    uint64_t mark; /* in the place that it has in a client's word */
};

static struct place find(const struct client_table *t, const struct ip *address)
{
    struct ip client = ip_client(address);
    uint64_t hash = XXH3_64bits_withSeed(client.bytes, sizeof(client.bytes), t->memory.seed);
    struct bucket *buckets = t->memory.buckets;
    /* The bucket is chosen by the low bits, the mark is the high ones. */
    return (struct place){ &buckets[hash & t->memory.mask], hash & ~COUNT_MASK };
}

/* The client's word, or NULL; *value as it was seen. *vacant: a word without client, NULL if there is
 * none. */
static _Atomic uint64_t *look(struct place p, uint64_t *value, _Atomic uint64_t **vacant)
{
    *vacant = NULL;
    for (uint32_t i = 0; i < BUCKET_CLIENTS; i++) {
        _Atomic uint64_t *word = &p.bucket->clients[i];
        *value = atomic_load_explicit(word, memory_order_acquire);
        if (*value && (*value & ~COUNT_MASK) == p.mark) return word;
        if (!*value && !*vacant) *vacant = word;
    }
    return NULL;
}

/* Somebody else is adding: a few instructions, unless the kernel has taken the core away just there. */
static void pause_a_little(uint32_t *rounds)
{
    if (++*rounds % 64 == 0) sched_yield();
}

static bool add(struct client_table *t, struct place p, uint64_t control, _Atomic uint64_t *vacant)
{
    uint64_t next = vacant ? control | IS_ADDING : control + 1;
    if (!atomic_compare_exchange_strong_explicit(&p.bucket->control, &control, next, memory_order_acq_rel,
                                                 memory_order_relaxed))
        return false;
    if (!vacant) {
        atomic_fetch_add_explicit(&t->uncounted, 1, memory_order_relaxed);
        return true;
    }
    atomic_store_explicit(vacant, p.mark | 1, memory_order_release);
    atomic_store_explicit(&p.bucket->control, control + ADDED, memory_order_release);
    return true;
}

bool client_table_enter(struct client_table *t, const struct ip *client, uint32_t limit)
{
    struct place p = find(t, client);
    uint32_t rounds = 0;
    if (limit > CLIENT_CONNECTIONS_MAX) limit = CLIENT_CONNECTIONS_MAX;
    for (;;) {
        uint64_t control = atomic_load_explicit(&p.bucket->control, memory_order_acquire), value;
        _Atomic uint64_t *vacant, *word = look(p, &value, &vacant);
        if (word) {
            if ((value & COUNT_MASK) >= limit) return false;
            if (atomic_compare_exchange_strong_explicit(word, &value, value + 1, memory_order_acq_rel,
                                                        memory_order_relaxed))
                return true;
        } else if (!limit) {
            return false;
        } else if (control & IS_ADDING) {
            pause_a_little(&rounds);
        } else if (add(t, p, control, vacant)) {
            return true;
        }
    }
}

/* Of a client's connections those counted go first. If none is, and none was being added while that was
 * looked up, then this one is among the uncounted. */
void client_table_leave(struct client_table *t, const struct ip *client)
{
    struct place p = find(t, client);
    uint32_t rounds = 0;
    for (;;) {
        uint64_t control = atomic_load_explicit(&p.bucket->control, memory_order_acquire), value;
        _Atomic uint64_t *vacant, *word = look(p, &value, &vacant);
        if (word) {
            uint64_t next = (value & COUNT_MASK) == 1 ? 0 : value - 1;
            if (atomic_compare_exchange_strong_explicit(word, &value, next, memory_order_acq_rel,
                                                        memory_order_relaxed))
                return;
        } else if (control & IS_ADDING) {
            pause_a_little(&rounds);
        } else {
            /* Nothing to count back: it has never entered. */
            uint64_t next = control & UNCOUNTED_MASK ? control - 1 : control;
            if (atomic_compare_exchange_strong_explicit(&p.bucket->control, &control, next,
                                                        memory_order_acq_rel, memory_order_relaxed))
                return;
        }
    }
}

uint32_t client_table_count(const struct client_table *t, const struct ip *client)
{
    uint64_t value;
    _Atomic uint64_t *vacant;
    return look(find(t, client), &value, &vacant) ? (uint32_t)(value & COUNT_MASK) : 0;
}

uint64_t client_table_uncounted(const struct client_table *t)
{
    return atomic_load_explicit(&t->uncounted, memory_order_relaxed);
}
