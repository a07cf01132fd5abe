/* Table `maglev` (Eisenbud et al., "Maglev: a fast and reliable software network load balancer", 2016,
 * 3.4): every server has a permutation of all places of its own; in turns each takes the next place of its
 * permutation that is still free. One look at the table is a pick, shares are exact to one place, and when
 * a server leaves hardly more than its own places change hands. A server that is out keeps its places, and the
 * key's rendezvous order says who stands in: then nothing else moves at all. */
#include <stdlib.h>

#include "balance/hash.h"

#define FREE UINT16_MAX

struct maglev {
    uint32_t size;
    uint16_t places[]; /* whose */
};

/* What a server is while the table is filled. */
struct filler {
    uint32_t at, skip; /* its permutation: the next place to look at, and how far the one after it is */
    uint32_t quota, taken;
};

/* Servers whose share is less than one place get one; the others share what is left. Taking a place from
 * all makes shares a little smaller, so that this has to be asked again. */
static void give_single_places(const struct hash_servers *servers, struct filler *fillers, uint32_t *size,
                               uint64_t *total)
{
    for (bool has_changed = true; has_changed;) {
        has_changed = false;
        for (uint32_t i = 0; i < servers->count; i++) {
            uint32_t weight = servers->at[i].weight;
            if (fillers[i].quota || (uint64_t)weight * *size >= *total) continue;
            fillers[i].quota = 1;
            *size -= 1;
            *total -= weight;
            has_changed = true;
        }
    }
}

/* By rounding the running sum: everyone has its exact share to one place, and the sum is the size. */
static void set_quotas(const struct hash_servers *servers, const uint16_t *order, struct filler *fillers,
                       uint32_t size)
{
    uint64_t total = servers->total, weight = 0;
    uint32_t given = 0;
    give_single_places(servers, fillers, &size, &total);
    for (uint32_t i = 0; i < servers->count; i++) {
        struct filler *f = &fillers[order[i]];
        if (f->quota) continue;
        weight += servers->at[order[i]].weight;
        uint32_t end = (uint32_t)(weight * size / total);
        f->quota = end - given;
        given = end;
    }
}

static void take_place(struct maglev *m, struct filler *f, uint16_t server)
{
    uint32_t place;
    do {
        place = f->at;
        f->at = f->skip < m->size - place ? place + f->skip : place - (m->size - f->skip);
    } while (m->places[place] != FREE);
    m->places[place] = server;
    f->taken++;
}

/* As many rounds as servers of equal weight would need; a heavier one takes several places in each. */
static void fill_maglev(struct maglev *m, const uint16_t *order, uint32_t count, struct filler *fillers)
{
    uint32_t rounds = (m->size + count - 1) / count;
    for (uint32_t i = 0; i < m->size; i++) m->places[i] = FREE;
    for (uint64_t round = 1; round <= rounds; round++) {
        for (uint32_t i = 0; i < count; i++) {
            struct filler *f = &fillers[order[i]];
            uint32_t due = (uint32_t)((f->quota * round + rounds - 1) / rounds);
            while (f->taken < due) take_place(m, f, order[i]);
        }
    }
}

static int build_maglev(struct hash_table *t, const struct hash_conf *conf, struct err *err)
{
    const struct hash_servers *servers = t->servers;
    uint32_t count = servers->count, size = conf->size;
    if (size < count)
        return err_set(err, "a maglev table of %u places is too small for %u servers; make size at least %u",
                       size, count, count * 100);
    struct maglev *m = malloc(sizeof(*m) + size * sizeof(*m->places));
    struct filler *fillers = calloc(count, sizeof(*fillers));
    uint16_t *order = hash_order_by_name(servers);
    t->places = m;
    if (m && fillers && order) {
        m->size = size;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t name = servers->at[i].name_hash;
            fillers[i].at = hash_place(hash_mix(name), size);
            fillers[i].skip = 1 + hash_place(hash_mix(~name), size - 1);
        }
        set_quotas(servers, order, fillers, size);
        fill_maglev(m, order, count, fillers);
    }
    int result = m && fillers && order ? 0
                                       : err_set(err, "out of memory for a maglev table of %u places", size);
    free(order);
    free(fillers);
    return result;
}

static size_t places_bytes(const struct hash_table *t)
{
    const struct maglev *m = t->places;
    return sizeof(*m) + m->size * sizeof(*m->places);
}

static uint32_t own(const struct hash_table *t, uint64_t hash, uint32_t *second)
{
    (void)second;
    const struct maglev *m = t->places;
    return m->places[hash_place(hash, m->size)];
}

const struct hash_kind hash_maglev = {
    .build = build_maglev, .places_bytes = places_bytes, .own = own, .next = hash_next_by_rendezvous
};
