#include "proxy/proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/count.h"
#include "base/json.h"
#include "conf/decode.h"
#include "proxy/worker.h"

#define SERIES_MAX 100000

const char *proxy_name_of(void *proxy, uint32_t id)
{
    const struct proxy *p = proxy;
    return names_of(&p->names, id);
}

struct pool *proxy_pool_by_name(const struct proxy *p, const char *name)
{
    for (uint32_t i = 0; i < p->pool_count; i++)
        if (strcmp(p->pools[i]->name, name) == 0) return p->pools[i];
    return NULL;
}

static uint32_t count_debug_routes(const struct proxy_conf *conf)
{
    uint32_t count = 0;
    const struct listener_conf *listeners = conf->listeners.data;
    for (uint32_t i = 0; i < conf->listeners.count; i++) {
        const struct route_conf *routes = listeners[i].routes.data;
        for (uint32_t j = 0; j < listeners[i].routes.count; j++) count += routes[j].debug != NULL;
    }
    return count;
}

static int add_pool(struct proxy *p, const struct pool_conf *conf, struct err *err)
{
    if (pool_new(&p->pools[p->pool_count], &p->pool_env, conf, NULL, err) < 0) return -1;
    p->pool_count++;
    return 0;
}

static int add_pools(struct proxy *p, struct err *err)
{
    const struct pool_conf *confs = p->conf->pools.data;
    uint32_t room = p->conf->pools.count + count_debug_routes(p->conf) + 1;
    p->pools = calloc(room, sizeof(struct pool *));
    if (!p->pools) return err_set(err, "out of memory for pools");
    for (uint32_t i = 0; i < p->conf->pools.count; i++)
        if (add_pool(p, &confs[i], err) < 0) return -1;
    return 0;
}

static int add_splits(struct proxy *p, struct err *err)
{
    const struct split_conf *confs = p->conf->splits.data;
    p->splits = calloc(p->conf->splits.count + 1, sizeof(struct split));
    if (!p->splits) return err_set(err, "out of memory for splits");
    for (uint32_t i = 0; i < p->conf->splits.count; i++) {
        p->split_count++;
        if (split_open(&p->splits[i], p, &confs[i], err) < 0) return -1;
    }
    return 0;
}

/* `{"servers": ["<address>"]}` */
static int decode_pool_of(const struct address *upstream, struct pool_conf *conf, struct conf_arena *arena)
{
    char address[ADDRESS_TEXT_MAX];
    struct json j;
    json_init(&j, 4096, false);
    json_object(&j);
    json_key(&j, "servers");
    json_array(&j);
    json_string(&j, address_print(upstream, address));
    json_array_end(&j);
    json_object_end(&j);
    struct conf_tree tree;
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    int result = -1;
    if (faults && !j.is_failed) {
        result = conf_read_json(&tree, "debug", (struct slice){ j.data, j.len }, faults);
        if (result == 0) result = conf_decode(&tree, &pool_conf_type, conf, arena, faults);
        conf_tree_free(&tree);
    }
    free(faults);
    json_fini(&j);
    return result;
}

struct pool *proxy_debug_pool(struct proxy *p, const char *listener, const char *route,
                              const struct address *upstream, struct err *err)
{
    if (!p->arena) p->arena = conf_arena_new();
    struct pool_conf *conf = conf_arena_alloc(p->arena, sizeof(*conf));
    size_t room = strlen(listener) + strlen(route) + sizeof("debug:/");
    char *name = conf_arena_alloc(p->arena, room);
    snprintf(name, room, "debug:%s/%s", listener, route);
    if (decode_pool_of(upstream, conf, p->arena) < 0) {
        err_set(err, "out of memory for its debug upstream");
        return NULL;
    }
    conf->name = name;
    return add_pool(p, conf, err) == 0 ? p->pools[p->pool_count - 1] : NULL;
}

struct split *proxy_split_by_name(const struct proxy *p, const char *name)
{
    for (uint32_t i = 0; i < p->split_count; i++)
        if (strcmp(p->splits[i].name, name) == 0) return &p->splits[i];
    return NULL;
}

static double read_live(void *context, size_t offset)
{
    const struct proxy *p = context;
    double sum = 0;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        if (!p->workers || !p->workers[i]) continue;
        sum += count_get((const uint32_t *)(const void *)((const char *)&p->workers[i]->live + offset));
    }
    return sum;
}

#define LIVE_READER(name)                                              \
    static double read_##name(void *context)                           \
    {                                                                  \
        return read_live(context, offsetof(struct worker_live, name)); \
    }
LIVE_READER(exchanges)
LIVE_READER(tunnels)
LIVE_READER(client_connections)
LIVE_READER(server_connections)
LIVE_READER(idle_server_connections)

static double read_memory(void *context)
{
    const struct proxy *p = context;
    return (double)atomic_load_explicit(&p->budget.used, memory_order_relaxed);
}

static double read_log_dropped(void *context)
{
    const struct proxy *p = context;
    return p->access_log ? (double)access_log_dropped(p->access_log) : 0;
}

static double read_uncounted(void *context)
{
    const struct proxy *p = context;
    return (double)client_table_uncounted(p->clients);
}

static double read_refused_series(void *context)
{
    const struct proxy *p = context;
    return (double)metric_refused(p->metrics);
}

static double read_bugs(void *context)
{
    return (double)bug_count((enum bug_place)(uintptr_t)context);
}

/* All places from the start: a series that is not there says nothing. */
static void add_bugs(struct metric_registry *m)
{
    for (uintptr_t i = 0; i < BUG_PLACE_COUNT; i++) {
        struct metric_label label = { "place", bug_place_name((enum bug_place)i) };
        metric_counter_fn(
            m, "weir_bug_total",
            "States that cannot be, met and survived. Each is a fault of weir: please report it, with its "
            "line in the log.",
            &label, 1, read_bugs, (void *)i); // NOLINT(performance-no-int-to-ptr)
    }
}

static void add_gauges(struct proxy *p)
{
    struct metric_registry *m = p->metrics;
    metric_gauge_fn(m, "weir_exchanges_live", "Exchanges going on.", NULL, 0, read_exchanges, p);
    metric_gauge_fn(m, "weir_tunnels_live", "Tunnels open.", NULL, 0, read_tunnels, p);
    metric_gauge_fn(m, "weir_client_connections", "Client connections open.", NULL, 0,
                    read_client_connections, p);
    metric_gauge_fn(m, "weir_server_connections", "Connections to servers, idle ones included.", NULL, 0,
                    read_server_connections, p);
    metric_gauge_fn(m, "weir_idle_server_connections", "Idle connections to servers.", NULL, 0,
                    read_idle_server_connections, p);
    metric_gauge_fn(m, "weir_memory_bytes", "Memory drawn on the budget (limits: memory).", NULL, 0,
                    read_memory, p);
    metric_counter_fn(m, "weir_access_log_dropped_total", "Access-log lines that were not written.", NULL, 0,
                      read_log_dropped, p);
    metric_counter_fn(m, "weir_clients_uncounted_total",
                      "Connections let in uncounted by connections_per_client.", NULL, 0, read_uncounted, p);
    metric_counter_fn(m, "weir_series_refused_total", "Series that were refused because there are too many.",
                      NULL, 0, read_refused_series, p);
}

static int build(struct proxy *p, struct err *err)
{
    const struct proxy_conf *conf = p->conf;
    if (metric_registry_new(&p->metrics, p->worker_count, SERIES_MAX, err) < 0) return -1;
    if (names_init(&p->names, err) < 0) return -1;
    p->pool_env = (struct pool_env){ &p->names, p->metrics, p->worker_count };
    p->listeners = calloc(conf->listeners.count + 1, sizeof(struct listener));
    p->workers = calloc(p->worker_count, sizeof(struct worker *));
    p->clients = client_table_new(p->connection_limit);
    struct rng rng;
    rng_seed_random(&rng);
    p->denials = denials_new(rng_next(&rng));
    if (!p->listeners || !p->workers || !p->clients || !p->denials)
        return err_set(err, "out of memory at start");
    if (conf->gate && !(p->gate = gate_rules_new(conf->gate)))
        return err_set(err, "out of memory for the gate");
    if (add_pools(p, err) < 0 || add_splits(p, err) < 0) return -1;
    const struct listener_conf *listeners = conf->listeners.data;
    for (uint32_t i = 0; i < conf->listeners.count; i++) {
        p->listener_count++;
        if (listener_open(&p->listeners[i], p, &listeners[i], err) < 0) return -1;
    }
    add_gauges(p);
    add_bugs(p->metrics);
    if (conf->access_log && !p->is_detached &&
        !(p->access_log = access_log_open(conf->access_log, p->worker_count, err)))
        return -1;
    return 0;
}

static int make(struct proxy **out, const struct proxy *shape, struct err *err)
{
    struct proxy *p = calloc(1, sizeof(*p));
    if (!p) return err_set(err, "out of memory at start");
    *p = *shape;
    p->started_wall_ns = clock_wall_ns();
    if (build(p, err) < 0) {
        proxy_free(p);
        return -1;
    }
    *out = p;
    return 0;
}

int proxy_new(struct proxy **out, const struct proxy_conf *conf, uint32_t worker_count,
              uint32_t connection_limit, uint64_t memory_limit, struct err *err)
{
    struct proxy shape = { .conf = conf,
                           .worker_count = worker_count,
                           .connection_limit = connection_limit,
                           .budget.limit = memory_limit };
    return make(out, &shape, err);
}

int proxy_new_detached(struct proxy **out, const struct proxy_conf *conf, struct err *err)
{
    struct proxy shape = { .conf = conf,
                           .worker_count = 1,
                           .connection_limit = 1024,
                           .budget.limit = 64 << 20,
                           .is_detached = true };
    return make(out, &shape, err);
}

int proxy_prepare(struct proxy *p, struct mailbox *control, void (*on_evidence)(void *, const struct mail *),
                  struct err *err)
{
    p->control = control;
    p->on_evidence = on_evidence;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        if (worker_new(&p->workers[i], p, i, err) < 0) return -1;
    }
    return 0;
}

int proxy_start(struct proxy *p, struct err *err)
{
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (worker_start(p->workers[i], err) < 0) return -1;
    return 0;
}

void proxy_publish(struct proxy *p, struct pool *pool)
{
    for (uint32_t i = 0; i < p->worker_count; i++) worker_publish(p->workers[i], peer_set_get(pool->current));
}

void proxy_free(struct proxy *p)
{
    if (!p) return;
    for (uint32_t i = 0; p->workers && i < p->worker_count; i++) {
        if (!p->workers[i]) continue;
        if (p->workers[i]->has_thread) worker_stop(p->workers[i]);
        worker_join(p->workers[i]);
    }
    access_log_close(p->access_log);
    for (uint32_t i = 0; p->workers && i < p->worker_count; i++) worker_free(p->workers[i]);
    for (uint32_t i = 0; p->listeners && i < p->listener_count; i++) listener_close(&p->listeners[i]);
    for (uint32_t i = 0; p->splits && i < p->split_count; i++) split_close(&p->splits[i]);
    for (uint32_t i = 0; p->pools && i < p->pool_count; i++) pool_free(p->pools[i], &p->pool_env);
    metric_registry_free(p->metrics);
    client_table_free(p->clients);
    gate_rules_free(p->gate);
    denials_free(p->denials);
    free(p->pools);
    free(p->workers);
    free(p->listeners);
    free(p->splits);
    conf_arena_free(p->arena);
    names_fini(&p->names);
    free(p);
}
