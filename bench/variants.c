#include "variants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balance/hash.h"
#include "balance/least.h"
#include "base/clock.h"

static const struct least_conf drawn[] = { { .scan = 0, .choices = 2 }, { .scan = 0, .choices = 3 } };
static const struct least_conf scanned = { .scan = 4096, .choices = 2 };
static const struct hash_conf tables[] = {
    { .table = HASH_MAGLEV, .size = HASH_SIZE },
    { .table = HASH_RING, .replicas = HASH_REPLICAS },
    { .table = HASH_RENDEZVOUS },
    { .table = HASH_MOD },
    { .table = HASH_MAGLEV, .size = HASH_SIZE, .bounded_percent = 125 },
};

const struct variant variants[] = {
    { "round_robin", "round_robin", NULL },
    { "random", "random", NULL },
    { "least_request", "least_request", NULL },
    { "least_request, scan", "least_request", &scanned },
    { "least_request, 2 drawn", "least_request", &drawn[0] },
    { "least_request, 3 drawn", "least_request", &drawn[1] },
    { "least_connections", "least_connections", NULL },
    { "peak_ewma", "peak_ewma", NULL },
    { "hash, maglev", "hash", &tables[0] },
    { "hash, maglev, bounded", "hash", &tables[4] },
    { "hash, ring", "hash", &tables[1] },
    { "hash, rendezvous", "hash", &tables[2] },
    { "hash, mod", "hash", &tables[3] },
    { 0 },
};

static void *must(void *memory)
{
    if (memory) return memory;
    fprintf(stderr, "out of memory\n");
    exit(1);
}

void stand_init(struct stand *s, uint32_t capacity)
{
    *s = (struct stand){ .capacity = capacity };
    s->lines = must(aligned_alloc(64, capacity * sizeof(*s->lines)));
    s->peers = must(malloc(capacity * sizeof(*s->peers)));
    s->weights = must(malloc(capacity * sizeof(*s->weights)));
    s->name_hashes = must(malloc(capacity * sizeof(*s->name_hashes)));
    for (uint32_t i = 0; i < capacity; i++) {
        char name[24];
        int len = snprintf(name, sizeof(name), "server-%u", i);
        s->peers[i] = &s->lines[i];
        s->weights[i] = 1;
        s->name_hashes[i] = balance_hash((struct slice){ name, (size_t)len });
    }
    rng_seed(&s->rng, 1);
    stand_unload(s);
}

void stand_fini(struct stand *s)
{
    stand_drop(s);
    free(s->lines);
    free(s->peers);
    free(s->weights);
    free(s->name_hashes);
}

static const struct balance_method *method_of(const char *name)
{
    for (const struct balance_method *const *m = balance_methods; *m; m++)
        if (strcmp((*m)->name, name) == 0) return *m;
    fprintf(stderr, "there is no method %s\n", name);
    exit(1);
}

uint64_t stand_build(struct stand *s, const char *method, const void *conf, uint32_t count)
{
    struct err err;
    struct balance_set set = { s->peers, s->weights, s->name_hashes, count };
    const struct balance_method *m = method_of(method);
    stand_drop(s);
    s->count = count;
    uint64_t start = clock_now_ns();
    if (m->build(&set, conf, &s->table, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    uint64_t took_ns = clock_now_ns() - start;
    s->balance = (struct balance){ .method = m, .table = s->table };
    s->balance.state = must(calloc(1, m->state_size + count * m->state_size_per_peer + 1));
    return took_ns;
}

void stand_drop(struct stand *s)
{
    if (s->balance.method) s->balance.method->drop(s->table);
    free(s->balance.state);
    s->balance = (struct balance){ 0 };
    s->table = NULL;
}

void stand_load(struct stand *s, uint64_t now_ns)
{
    stand_unload(s);
    for (uint32_t i = 0; i < s->capacity; i++) {
        atomic_store(&s->lines[i].in_flight, 1 + rng_below(&s->rng, 4));
        atomic_store(&s->lines[i].open_connections, 4 + rng_below(&s->rng, 8));
        atomic_store(&s->lines[i].latency_us, 1000 + rng_below(&s->rng, 4000));
        atomic_store(&s->lines[i].latency_at_ns, now_ns - rng_below(&s->rng, 1000000000));
    }
}

void stand_unload(struct stand *s)
{
    memset((void *)s->lines, 0, s->capacity * sizeof(*s->lines));
}
