#define XXH_INLINE_ALL
#include <xxhash.h>

#include "proxy/rate_table.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "proxy/bucket_memory.h"

#define BUCKET_KEYS 7
#define BUCKET_MEAN 4 /* keys in a bucket of a table that has as many as it is made for, at most */

/* `free_ns`: when the account will have used nothing; a time that is over is as good as no account. It goes up with one
 * compare-and-swap. A key is added, in place of another, only by whoever holds IS_ADDING, and each time `control` goes on by
 * ADDED: so who has seen it before looking in vain for a key, and takes IS_ADDING by what was seen, knows that the key has
 * not come meanwhile, and none is in a bucket twice. */
struct account {
    _Atomic uint64_t key; /* 0: none */
    _Atomic uint64_t free_ns;
};
struct bucket {
    _Alignas(128) _Atomic uint64_t control;
    struct account accounts[BUCKET_KEYS];
};

#define IS_ADDING UINT64_C(1)
#define ADDED UINT64_C(2)

struct rate_table {
    struct bucket_memory memory; /* of struct bucket */
};

struct rate_table *rate_table_new(uint32_t keys)
{
    struct rate_table *t = calloc(1, sizeof(*t));
    if (t && !bucket_memory_init(&t->memory, keys, BUCKET_MEAN, sizeof(struct bucket))) {
        free(t);
        return NULL;
    }
    return t;
}

void rate_table_free(struct rate_table *t)
{
    if (!t) return;
    bucket_memory_fini(&t->memory);
    free(t);
}

uint64_t rate_table_key(const struct rate_table *t, struct slice key, uint64_t salt)
{
    uint64_t hash = XXH3_64bits_withSeed(key.data, key.len, t->memory.seed + salt);
    return hash ? hash : 1;
}

/* What is said to one more of an account that will have used nothing at `free_ns`. */
static void judge(uint64_t free_ns, const struct rate_rule *rule, uint64_t now_ns, struct rate_verdict *out)
{
    uint64_t ahead = free_ns > now_ns ? free_ns - now_ns : 0;
    bool is_at_once = ahead <= rule->burst_ns;
    uint64_t wait = is_at_once ? 0 : ahead - rule->burst_ns;
    bool passes = wait <= rule->delay_ns;
    *out = (struct rate_verdict){ .passes = passes,
                                  .wait_ns = wait,
                                  .reset_ns = ahead + passes * rule->interval_ns,
                                  .remaining = is_at_once ? (rule->burst_ns - ahead) / rule->interval_ns
                                                          : 0 };
}

static uint64_t next_free_ns(uint64_t free_ns, const struct rate_rule *rule, uint64_t now_ns)
{
    return (free_ns > now_ns ? free_ns : now_ns) + rule->interval_ns;
}

static struct bucket *bucket_of(const struct rate_table *t, uint64_t key)
{
    struct bucket *buckets = t->memory.buckets;
    return &buckets[key & t->memory.mask];
}

static struct account *find(struct bucket *b, uint64_t key)
{
    for (uint32_t i = 0; i < BUCKET_KEYS; i++)
        if (atomic_load_explicit(&b->accounts[i].key, memory_order_acquire) == key) return &b->accounts[i];
    return NULL;
}

static struct account *least_used(struct bucket *b, uint64_t *free_ns)
{
    struct account *least = NULL;
    for (uint32_t i = 0; i < BUCKET_KEYS; i++) {
        uint64_t at = atomic_load_explicit(&b->accounts[i].free_ns, memory_order_relaxed);
        if (least && at >= *free_ns) continue;
        least = &b->accounts[i];
        *free_ns = at;
    }
    return least;
}

/* Somebody else is adding: a few instructions, unless the kernel has taken the core away just there. */
static void pause_a_little(uint32_t *rounds)
{
    if (++*rounds % 64 == 0) sched_yield();
}

/* False: the bucket is no longer as it was when `control` was read. */
static bool add(struct bucket *b, uint64_t control, uint64_t key, const struct rate_rule *rule,
                uint64_t now_ns, struct rate_verdict *out)
{
    if (!atomic_compare_exchange_strong_explicit(&b->control, &control, control | IS_ADDING,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return false;
    uint64_t given_up = 0;
    struct account *a = least_used(b, &given_up);
    judge(0, rule, now_ns, out);
    out->has_forgotten = given_up > now_ns;
    /* Who still holds on to the key before counts in vain: its account is gone. */
    atomic_store_explicit(&a->key, 0, memory_order_release);
    atomic_store_explicit(&a->free_ns, next_free_ns(0, rule, now_ns), memory_order_release);
    atomic_store_explicit(&a->key, key, memory_order_release);
    atomic_store_explicit(&b->control, control + ADDED, memory_order_release);
    return true;
}

void rate_table_take(struct rate_table *t, uint64_t key, const struct rate_rule *rule, uint64_t now_ns,
                     struct rate_verdict *out)
{
    struct bucket *b = bucket_of(t, key);
    uint32_t rounds = 0;
    for (;;) {
        uint64_t control = atomic_load_explicit(&b->control, memory_order_acquire);
        struct account *a = find(b, key);
        if (a) {
            uint64_t free_ns = atomic_load_explicit(&a->free_ns, memory_order_acquire);
            if (atomic_load_explicit(&a->key, memory_order_acquire) != key) continue;
            judge(free_ns, rule, now_ns, out);
            if (!out->passes || atomic_compare_exchange_strong_explicit(
                                    &a->free_ns, &free_ns, next_free_ns(free_ns, rule, now_ns),
                                    memory_order_acq_rel, memory_order_relaxed))
                return;
        } else if (control & IS_ADDING) {
            pause_a_little(&rounds);
        } else if (add(b, control, key, rule, now_ns, out)) {
            return;
        }
    }
}

void rate_table_look(const struct rate_table *t, uint64_t key, const struct rate_rule *rule, uint64_t now_ns,
                     struct rate_verdict *out)
{
    struct account *a = find(bucket_of(t, key), key);
    judge(a ? atomic_load_explicit(&a->free_ns, memory_order_relaxed) : 0, rule, now_ns, out);
}
