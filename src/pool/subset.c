#include "pool/subset.h"

#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "pool/pool_conf.h"

/* All processes shuffle alike. */
#define SEED 1

struct card {
    uint64_t name_hash;
    uint32_t server;
};

struct deck {
    struct rng rng;
    uint32_t count, next; /* next: of cards, to be dealt */
    struct card *cards;
    bool *is_held; /* by server: in the hand that is being dealt */
};

static int compare_cards(const void *a, const void *b)
{
    const struct card *x = a, *y = b;
    if (x->name_hash != y->name_hash) return x->name_hash < y->name_hash ? -1 : 1;
    return (x->server > y->server) - (x->server < y->server);
}

static void swap_cards(struct deck *d, uint32_t i, uint32_t j)
{
    struct card kept = d->cards[i];
    d->cards[i] = d->cards[j];
    d->cards[j] = kept;
}

/* Fisher-Yates. */
static void shuffle(struct deck *d)
{
    for (uint32_t i = d->count; i > 1; i--) swap_cards(d, i - 1, rng_below(&d->rng, i));
    d->next = 0;
}

/* A hand goes on with a new deck: of its next `wanted` cards none may be in the hand already. */
static void put_held_behind(struct deck *d, uint32_t wanted)
{
    uint32_t other = wanted;
    for (uint32_t i = 0; i < wanted; i++) {
        if (!d->is_held[d->cards[i].server]) continue;
        while (d->is_held[d->cards[other].server]) other++;
        swap_cards(d, i, other++);
    }
}

static void deal(struct deck *d, uint32_t size)
{
    memset(d->is_held, 0, d->count * sizeof(*d->is_held));
    for (uint32_t i = 0; i < size; i++) {
        if (d->next == d->count) {
            shuffle(d);
            put_held_behind(d, size - i);
        }
        d->is_held[d->cards[d->next++].server] = true;
    }
}

int subset_choose(const struct pool_subset_conf *conf, const uint64_t *name_hashes, uint32_t count,
                  bool *chosen, struct err *err)
{
    struct deck d = { .count = count, .is_held = chosen, .cards = calloc(count, sizeof(struct card)) };
    if (!d.cards) return err_set(err, "out of memory for a subset of %u servers", count);
    for (uint32_t i = 0; i < count; i++) d.cards[i] = (struct card){ name_hashes[i], i };
    qsort(d.cards, count, sizeof(*d.cards), compare_cards);
    rng_seed(&d.rng, SEED);
    shuffle(&d);
    uint32_t size = conf->size < count ? conf->size : count;
    for (uint32_t i = 0; i <= conf->instance; i++) deal(&d, size);
    free(d.cards);
    return 0;
}
