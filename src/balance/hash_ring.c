/* Table `ring` (Karger et al., "Consistent hashing and random trees", 1997): every server has points on a
 * ring, and a key belongs to the first point at or after its hash. With `replicas` points a server has its
 * share to about one part in the root of that number: more points are more even, and cost memory. */
#include <stdlib.h>

#include "balance/hash.h"

/* How many points are passed in search of one that may take a request: then rendezvous order decides. With
 * nearly everybody out or full, the walk would be as long as the ring. */
#define STEPS_MAX 1024

struct point {
    uint64_t at;
    uint32_t server;
};

struct ring {
    uint32_t count, shift;
    const uint32_t *starts; /* behind the points: by a hash's upper bits, the first point at or after them */
    struct point points[];
};

/* Points of a mean server's weight are `replicas`: the ring's size depends on how many servers there are,
 * not on the scale of their weights. Points are numbered, so a server that gets lighter keeps all but the
 * last of its own. */
static uint32_t points_of(const struct hash_servers *servers, uint32_t server, uint32_t replicas)
{
    double share = (double)servers->at[server].weight / (double)servers->total;
    uint32_t points = (uint32_t)(share * replicas * servers->count + 0.5);
    return points ? points : 1;
}

static int compare_points(const void *left, const void *right)
{
    const struct point *a = left, *b = right;
    return (a->at > b->at) - (a->at < b->at);
}

static uint32_t bits_for(uint32_t count)
{
    uint32_t bits = 1;
    while (UINT32_C(1) << bits < count) bits++;
    return bits;
}

static void set_points(const struct hash_servers *servers, struct ring *ring, uint32_t replicas)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < servers->count; i++) {
        uint64_t name = hash_mix(servers->at[i].name_hash);
        for (uint32_t points = points_of(servers, i, replicas); points; points--)
            ring->points[n++] = (struct point){ hash_mix(name + points), i };
    }
    qsort(ring->points, n, sizeof(*ring->points), compare_points);
}

static void set_starts(struct ring *ring, uint32_t *starts)
{
    uint32_t point = 0;
    for (uint64_t i = 0; i < UINT64_C(1) << (64 - ring->shift); i++) {
        while (point < ring->count && ring->points[point].at < i << ring->shift) point++;
        starts[i] = point;
    }
}

static size_t bytes_of(uint32_t points)
{
    return sizeof(struct ring) + points * sizeof(struct point) + (sizeof(uint32_t) << bits_for(points));
}

static int build_ring(struct hash_table *t, const struct hash_conf *conf, struct err *err)
{
    uint32_t count = 0;
    if ((uint64_t)t->servers->count * conf->replicas > HASH_POINTS_MAX)
        return err_set(err,
                       "a ring of %u servers with %u replicas each is too large; make replicas at most %u",
                       t->servers->count, conf->replicas, HASH_POINTS_MAX / t->servers->count);
    for (uint32_t i = 0; i < t->servers->count; i++) count += points_of(t->servers, i, conf->replicas);
    struct ring *ring = malloc(bytes_of(count));
    if (!ring) return err_set(err, "out of memory for a ring of %u points", count);
    uint32_t *starts = (uint32_t *)(void *)(ring->points + count);
    ring->count = count;
    ring->shift = 64 - bits_for(count);
    ring->starts = starts;
    set_points(t->servers, ring, conf->replicas);
    set_starts(ring, starts);
    t->places = ring;
    return 0;
}

static size_t places_bytes(const struct hash_table *t)
{
    return bytes_of(((const struct ring *)t->places)->count);
}

static uint32_t point_of(const struct ring *ring, uint64_t hash)
{
    uint32_t point = ring->starts[hash >> ring->shift];
    while (point < ring->count && ring->points[point].at < hash) point++;
    return point < ring->count ? point : 0;
}

static uint32_t own(const struct hash_table *t, uint64_t hash, uint32_t *second)
{
    (void)second;
    const struct ring *ring = t->places;
    return ring->points[point_of(ring, hash)].server;
}

static uint32_t next(const struct hash_table *t, const struct hash_demand *d, uint32_t own)
{
    const struct ring *ring = t->places;
    uint32_t point = point_of(ring, d->q->hash), last = BALANCE_NONE;
    for (uint32_t steps = 0; steps < STEPS_MAX && steps < ring->count; steps++) {
        point = point + 1 < ring->count ? point + 1 : 0;
        uint32_t server = ring->points[point].server;
        if (server == own || server == last) continue;
        if (hash_may_take(t, d, server)) return server;
        last = server;
    }
    return hash_next_by_rendezvous(t, d, own);
}

const struct hash_kind hash_ring = {
    .build = build_ring, .places_bytes = places_bytes, .own = own, .next = next
};
