#include "pool/pool.h"

#include <stdlib.h>
#include <string.h>

#include "metric/metric.h"

static uint64_t hash_name(const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *name; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return h;
}

struct peer_set *peer_set_get(struct peer_set *set)
{
    atomic_fetch_add_explicit(&set->refs, 1, memory_order_relaxed);
    return set;
}

void peer_set_put(struct peer_set *set)
{
    if (!set || atomic_fetch_sub_explicit(&set->refs, 1, memory_order_acq_rel) != 1) return;
    if (set->method->drop) set->method->drop(set->table);
    free(set);
}

static struct peer_set *allocate(struct pool *p)
{
    size_t n = p->server_count;
    size_t size = sizeof(struct peer_set) +
                  n * (sizeof(struct server *) + sizeof(void *) + sizeof(uint64_t) + sizeof(uint32_t));
    struct peer_set *set = calloc(1, size);
    if (!set) return NULL;
    set->servers = (struct server **)(set + 1);
    set->peers = (const struct balance_peer **)(set->servers + n);
    set->name_hashes = (uint64_t *)(set->peers + n);
    set->weights = (uint32_t *)(set->name_hashes + n);
    atomic_init(&set->refs, 1);
    set->pool = p;
    set->method = p->conf->balance.option->object;
    return set;
}

static void fill(struct peer_set *set, struct pool *p, bool (*may_use)(const struct server *))
{
    for (uint32_t i = 0; i < p->server_count; i++) {
        struct server *s = &p->servers[i];
        if (!may_use(s)) continue;
        set->servers[set->count] = s;
        set->peers[set->count] = &s->peer;
        set->name_hashes[set->count] = hash_name(s->name);
        set->weights[set->count] = atomic_load(&s->weight);
        set->count++;
    }
}

int pool_rebuild(struct pool *p, struct err *err)
{
    struct peer_set *set = allocate(p);
    if (!set) return err_set(err, "out of memory for the servers of pool \"%s\"", p->name);
    fill(set, p, server_is_usable);
    if (!set->count) {
        /* Ejection is a guess: rather try a server than refuse everybody. */
        fill(set, p, server_is_enabled);
        set->is_panic = set->count > 0;
    }
    struct balance_set shape = {
        .peers = set->peers, .weights = set->weights, .name_hashes = set->name_hashes, .count = set->count
    };
    if (set->count && set->method->build &&
        set->method->build(&shape, p->conf->balance.conf, &set->table, err) < 0) {
        free(set);
        return err_prefix(err, "pool \"%s\"", p->name);
    }
    peer_set_put(p->current);
    p->current = set;
    return 0;
}

static void server_init(struct server *s, const struct server_conf *conf, struct pool *p, uint32_t index,
                        uint32_t id)
{
    s->name = conf->name;
    s->address = conf->address;
    s->pool = p;
    s->index = index;
    s->id = id;
    address_print(&s->address, s->address_text);
    atomic_init(&s->weight, conf->weight);
    atomic_init(&s->peer.cap, conf->max_connections);
}

static void add_meters(struct pool *p, struct metric_registry *metrics)
{
    for (uint32_t i = 0; i < p->server_count; i++) {
        struct server *s = &p->servers[i];
        const struct metric_label labels[] = { { "pool", p->name }, { "server", s->name } };
        s->meter_attempts = metric_counter(metrics, "weir_server_attempts_total", "Attempts at a server.",
                                           labels, 2);
        s->meter_failures = metric_counter(metrics, "weir_server_failures_total",
                                           "Attempts that failed at a server.", labels, 2);
        s->meter_connects = metric_counter(metrics, "weir_server_connects_total",
                                           "Connections begun to a server.", labels, 2);
        s->meter_reuses = metric_counter(metrics, "weir_server_reuses_total",
                                         "Attempts on a connection that had been used before.", labels, 2);
        s->meter_latency = metric_histogram(metrics, "weir_server_first_byte_seconds",
                                            "From an attempt's start to the first byte of its response.",
                                            labels, 2);
    }
    const struct metric_label label = { "pool", p->name };
    p->meter_queued = metric_counter(metrics, "weir_pool_queued_total", "Exchanges that waited for a server.",
                                     &label, 1);
    p->meter_queue_full = metric_counter(metrics, "weir_pool_queue_full_total",
                                         "Exchanges refused because the queue was full.", &label, 1);
}

int pool_new(struct pool **out, const struct pool_conf *conf, uint32_t index, uint32_t *next_id,
             struct metric_registry *metrics, struct err *err)
{
    struct pool *p = calloc(1, sizeof(*p));
    uint32_t count = conf->servers.count;
    if (p) p->servers = aligned_alloc(64, count * sizeof(struct server));
    if (!p || !p->servers) {
        free(p);
        return err_set(err, "out of memory for pool \"%s\"", conf->name);
    }
    memset(p->servers, 0, count * sizeof(struct server));
    p->conf = conf;
    p->name = conf->name;
    p->index = index;
    p->id = (*next_id)++;
    p->server_count = count;
    const struct server_conf *servers = conf->servers.data;
    for (uint32_t i = 0; i < count; i++) server_init(&p->servers[i], &servers[i], p, i, (*next_id)++);
    add_meters(p, metrics);
    if (pool_rebuild(p, err) < 0) {
        pool_free(p);
        return -1;
    }
    *out = p;
    return 0;
}

void pool_free(struct pool *p)
{
    if (!p) return;
    peer_set_put(p->current);
    free(p->servers);
    free(p);
}

struct server *pool_server_by_name(const struct pool *p, const char *name)
{
    for (uint32_t i = 0; i < p->server_count; i++)
        if (strcmp(p->servers[i].name, name) == 0) return &p->servers[i];
    return NULL;
}
