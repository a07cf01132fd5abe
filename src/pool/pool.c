#include "pool/pool.h"

#include <stdlib.h>
#include <string.h>

#include "metric/metric.h"
#include "pool/membership.h"
#include "pool/sticky.h"
#include "pool/subset.h"

#define WARM_STEPS 20
#define WARM_STEP_MIN_MS 250

static uint64_t hash_name(const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *name; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return h;
}

/* Who is in the set, and how it stands with each server. NULL when out of memory. */
static struct membership *compute(const struct pool *p, bool *is_panic)
{
    struct membership_server *servers = calloc(p->server_count, sizeof(*servers));
    struct membership *members = calloc(p->server_count, sizeof(*members));
    const struct balance_method *method = p->conf->balance.option->object;
    struct membership_rules rules = { .overprovision = p->conf->tiers.overprovision,
                                      .panic = p->conf->tiers.panic,
                                      .spill = p->conf->zones ? p->conf->zones->spill : 0,
                                      .keeps_out = method->keeps_out };
    for (uint32_t i = 0; servers && members && i < p->server_count; i++) {
        const struct server *s = &p->servers[i];
        servers[i] = (struct membership_server){ .weight = atomic_load(&s->weight),
                                                 .tier = s->tier,
                                                 .warm = server_warm_parts(s),
                                                 .is_local = s->is_local,
                                                 .is_in_subset = s->is_in_subset,
                                                 .is_enabled = server_is_enabled(s),
                                                 .is_usable = server_is_usable(s) };
    }
    if (servers && members) {
        *is_panic = membership_compute(&rules, servers, p->server_count, members);
    } else {
        free(members);
        members = NULL;
    }
    free(servers);
    return members;
}

static void make_current(struct pool *p, struct peer_set *set, const struct membership *members)
{
    p->set_weight = 0;
    for (uint32_t i = 0; i < p->server_count; i++) {
        struct server *s = &p->servers[i];
        s->set_weight = members[i].weight;
        atomic_store_explicit(&s->peer.is_out, members[i].is_out, memory_order_relaxed);
        if (!members[i].is_out) p->set_weight += members[i].weight;
    }
    peer_set_put(p->current);
    p->current = set;
}

int pool_rebuild(struct pool *p, struct err *err)
{
    bool is_panic = false;
    struct peer_set *set;
    struct membership *members = compute(p, &is_panic);
    if (!members) return err_set(err, "out of memory for the servers of pool \"%s\"", p->name);
    int result = peer_set_new(&set, p, members, err);
    if (result == 0) {
        make_current(p, set, members);
        /* Ejection is a guess: rather try a server than refuse everybody. */
        set->is_panic = is_panic && p->set_weight > 0;
    }
    free(members);
    return result;
}

static bool is_any_warming(const struct pool *p)
{
    for (uint32_t i = 0; i < p->server_count; i++)
        if (atomic_load(&p->servers[i].health) == SERVER_WARMING) return true;
    return false;
}

bool pool_warm_up(struct pool *p, uint64_t now_ms)
{
    if (!p->conf->warmup_ms || now_ms < p->warm_next_ms || !is_any_warming(p)) return false;
    uint64_t step_ms = p->conf->warmup_ms / WARM_STEPS;
    p->warm_next_ms = now_ms + (step_ms > WARM_STEP_MIN_MS ? step_ms : WARM_STEP_MIN_MS);
    for (uint32_t i = 0; i < p->server_count; i++) (void)server_warm_up(&p->servers[i], now_ms);
    return true;
}

static bool is_local(const struct pool_conf *pool, const struct server_conf *s)
{
    return !pool->zones || (s->zone && strcmp(s->zone, pool->zones->local) == 0);
}

static void server_init(struct server *s, const struct server_conf *conf, struct pool *p, uint32_t index,
                        uint32_t id)
{
    s->name = conf->name;
    s->address = conf->address;
    s->pool = p;
    s->index = index;
    s->id = id;
    s->tier = conf->tier ? conf->tier : 1;
    s->zone = conf->zone;
    s->is_local = is_local(p->conf, conf);
    s->is_in_subset = true;
    s->name_hash = hash_name(s->name);
    s->warmup_ms = p->conf->warmup_ms;
    address_print(&s->address, s->address_text);
    atomic_init(&s->weight, conf->weight);
    atomic_init(&s->peer.cap, conf->max_connections);
}

static int choose_subset(struct pool *p, struct err *err)
{
    if (!p->conf->subset) return 0;
    uint64_t *hashes = calloc(p->server_count, sizeof(*hashes));
    bool *chosen = calloc(p->server_count, sizeof(*chosen));
    int result = -1;
    if (!hashes || !chosen) {
        err_set(err, "out of memory for the subset of pool \"%s\"", p->name);
    } else {
        for (uint32_t i = 0; i < p->server_count; i++) hashes[i] = p->servers[i].name_hash;
        result = subset_choose(p->conf->subset, hashes, p->server_count, chosen, err);
        for (uint32_t i = 0; i < p->server_count; i++) p->servers[i].is_in_subset = chosen[i];
    }
    free(hashes);
    free(chosen);
    return result;
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
    if (choose_subset(p, err) < 0 || (conf->sticky && sticky_new(&p->sticky, conf->sticky, p, err) < 0) ||
        pool_rebuild(p, err) < 0) {
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
    sticky_free(p->sticky);
    free(p->servers);
    free(p);
}

struct server *pool_server_by_name(const struct pool *p, const char *name)
{
    for (uint32_t i = 0; i < p->server_count; i++)
        if (strcmp(p->servers[i].name, name) == 0) return &p->servers[i];
    return NULL;
}
