#include "metric/exemplars.h"

#include <pthread.h>
#include <stdlib.h>

struct slot {
    uint32_t series, bucket;
    bool is_used;
    struct exemplar exemplar;
};

struct shard {
    pthread_mutex_t lock; /* its worker only tries */
    struct slot slots[EXEMPLARS_MAX];
};

struct exemplars {
    uint32_t shard_count;
    struct shard *shards[];
};

void exemplars_free(struct exemplars *e)
{
    if (!e) return;
    for (uint32_t i = 0; i < e->shard_count; i++) {
        pthread_mutex_destroy(&e->shards[i]->lock);
        free(e->shards[i]);
    }
    free(e);
}

int exemplars_new(struct exemplars **out, uint32_t shards, struct err *err)
{
    struct exemplars *e = calloc(1, sizeof(*e) + shards * sizeof(struct shard *));
    if (!e) return err_set(err, "no memory for exemplars");
    for (; e->shard_count < shards; e->shard_count++) {
        struct shard *s = calloc(1, sizeof(*s));
        if (!s) {
            exemplars_free(e);
            return err_set(err, "no memory for the exemplars of %u threads", shards);
        }
        pthread_mutex_init(&s->lock, NULL);
        e->shards[e->shard_count] = s;
    }
    *out = e;
    return 0;
}

/* A series' buckets stand side by side; ids are far apart, by as many cells as a histogram has. */
static uint32_t place_of(uint32_t series, uint32_t bucket)
{
    uint64_t mixed = series * UINT64_C(0x9e3779b97f4a7c15);
    return ((uint32_t)(mixed >> 32) + bucket) % EXEMPLARS_MAX;
}

void exemplars_put(struct exemplars *e, uint32_t shard, uint32_t series, const struct exemplar *x)
{
    struct shard *s = e->shards[shard];
    uint32_t bucket = bucket_of(x->us);
    if (pthread_mutex_trylock(&s->lock) != 0) return;
    s->slots[place_of(series, bucket)] =
        (struct slot){ .series = series, .bucket = bucket, .is_used = true, .exemplar = *x };
    pthread_mutex_unlock(&s->lock);
}

void exemplars_hold(struct exemplars *e)
{
    for (uint32_t i = 0; e && i < e->shard_count; i++) pthread_mutex_lock(&e->shards[i]->lock);
}

void exemplars_let_go(struct exemplars *e)
{
    for (uint32_t i = 0; e && i < e->shard_count; i++) pthread_mutex_unlock(&e->shards[i]->lock);
}

static bool is_of(const struct slot *slot, uint32_t series, uint32_t bucket)
{
    return slot->is_used && slot->series == series && slot->bucket == bucket;
}

const struct exemplar *exemplars_find(const struct exemplars *e, uint32_t series, uint32_t bucket)
{
    const struct exemplar *latest = NULL;
    uint32_t place = place_of(series, bucket);
    for (uint32_t i = 0; e && i < e->shard_count; i++) {
        const struct slot *slot = &e->shards[i]->slots[place];
        if (is_of(slot, series, bucket) && (!latest || slot->exemplar.wall_ms > latest->wall_ms))
            latest = &slot->exemplar;
    }
    return latest;
}

void exemplars_forget(struct exemplars *e, uint32_t series)
{
    exemplars_hold(e);
    for (uint32_t i = 0; e && i < e->shard_count; i++) {
        for (uint32_t bucket = 0; bucket < BUCKET_COUNT; bucket++) {
            struct slot *slot = &e->shards[i]->slots[place_of(series, bucket)];
            if (is_of(slot, series, bucket)) slot->is_used = false;
        }
    }
    exemplars_let_go(e);
}
