#include "proxy/proxy.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/count.h"
#include "proxy/bind.h"
#include "proxy/worker.h"

#define SERIES_MAX 100000

static const enum end_reason refusals[] = { END_GATE_DENIED, END_CLIENT_CONNECTIONS, END_CONNECTION_LIMIT,
                                            END_NO_DESCRIPTORS, END_NO_MEMORY };

static uint32_t add_name(struct proxy *p, const char *name)
{
    p->names[p->name_count] = name;
    return p->name_count++;
}

const char *proxy_name_of(void *proxy, uint32_t id)
{
    const struct proxy *p = proxy;
    return id < p->name_count ? p->names[id] : NULL;
}

struct pool *proxy_pool_by_name(const struct proxy *p, const char *name)
{
    for (uint32_t i = 0; i < p->pool_count; i++)
        if (strcmp(p->pools[i]->name, name) == 0) return p->pools[i];
    return NULL;
}

static void add_listener_meters(struct listener *l, struct metric_registry *m)
{
    struct metric_label labels[2] = { { "listener", l->name }, { "end", NULL } };
    l->meter_accepted = metric_counter(m, "weir_connections_accepted_total", "Client connections let in.",
                                       labels, 1);
    l->meter_bytes_in = metric_counter(m, "weir_received_bytes_total", "Bytes taken from clients.", labels,
                                       1);
    l->meter_bytes_out = metric_counter(m, "weir_sent_bytes_total", "Bytes given to clients.", labels, 1);
    l->meter_seconds = metric_histogram(
        m, "weir_exchange_duration_seconds",
        "From a request's first byte to its response's last; a tunnel's life.", labels, 1);
    for (unsigned i = 1; i < END_REASON_COUNT; i++) {
        labels[1] = (struct metric_label){ "end", end_reason_info((enum end_reason)i)->name };
        l->meter_ends[i] = metric_counter(m, "weir_exchanges_total",
                                          "Exchanges and tunnels, by how they ended.", labels, 2);
    }
    static const char *const classes[] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };
    for (unsigned i = 0; i < 6; i++) {
        labels[1] = (struct metric_label){ "class", classes[i] };
        l->meter_classes[i] = metric_counter(m, "weir_responses_total",
                                             "Responses, by the class of their status.", labels, 2);
    }
    for (unsigned i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        labels[1] = (struct metric_label){ "reason", end_reason_info(refusals[i])->name };
        l->meter_refused[refusals[i]] = metric_counter(
            m, "weir_connections_refused_total", "Client connections closed at once, by reason.", labels, 2);
    }
}

static int add_route(struct proxy *p, struct listener *l, const struct route_conf *conf, const char *pool,
                     struct err *err)
{
    struct route *r = &l->routes[l->route_count];
    r->conf = conf;
    r->name = conf ? conf->name : "default";
    r->pool = proxy_pool_by_name(p, pool);
    if (!r->pool) return err_set(err, "listener \"%s\": there is no pool \"%s\"", l->name, pool);
    r->id = add_name(p, r->name);
    if (conf && conf->gate && !(r->gate = gate_rules_new(conf->gate)))
        return err_set(err, "out of memory for the gate of route \"%s\"", r->name);
    const struct metric_label labels[] = { { "listener", l->name }, { "route", r->name } };
    r->meter_exchanges = metric_counter(p->metrics, "weir_route_exchanges_total", "Exchanges, by route.",
                                        labels, 2);
    l->route_count++;
    return 0;
}

static int add_routes(struct proxy *p, struct listener *l, struct err *err)
{
    const struct listener_conf *conf = l->conf;
    uint32_t count = conf->routes.count ? conf->routes.count : 1;
    l->routes = calloc(count, sizeof(struct route));
    if (!l->routes) return err_set(err, "out of memory for the routes of listener \"%s\"", l->name);
    if (!conf->routes.count) return add_route(p, l, NULL, conf->pool, err);
    const struct route_conf *routes = conf->routes.data;
    struct route_row *rows = calloc(count, sizeof(*rows));
    if (!rows) return err_set(err, "out of memory for the routes of listener \"%s\"", l->name);
    int result = 0;
    for (uint32_t i = 0; i < count && result == 0; i++) {
        rows[i] = route_conf_row(&routes[i], i);
        result = add_route(p, l, &routes[i], routes[i].pool, err);
    }
    if (result == 0 && !(l->table = route_table_new(rows, count, err)))
        result = err_prefix(err, "listener \"%s\"", l->name);
    free(rows);
    return result;
}

static int add_listener(struct proxy *p, struct listener *l, const struct listener_conf *conf,
                        struct err *err)
{
    l->conf = conf;
    l->name = conf->name;
    l->index = (uint32_t)(l - p->listeners);
    l->proxy = p;
    l->id = add_name(p, l->name);
    add_listener_meters(l, p->metrics);
    if (conf->gate && !(l->gate = gate_rules_new(conf->gate)))
        return err_set(err, "out of memory for the gate of listener \"%s\"", l->name);
    l->fds = malloc(p->worker_count * sizeof(int));
    if (!l->fds) return err_set(err, "out of memory for listener \"%s\"", l->name);
    for (uint32_t i = 0; i < p->worker_count; i++) l->fds[i] = -1;
    if (add_routes(p, l, err) < 0) return -1;
    unsigned defer_s = (unsigned)((conf->timeouts.header_ms + 999) / 1000);
    if (bind_open(&conf->bind, conf->protocol == LISTENER_HTTP, defer_s, l->fds, p->worker_count, err) < 0)
        return err_prefix(err, "listener \"%s\"", l->name);
    l->is_bound = true;
    return 0;
}

static uint32_t count_names(const struct proxy_conf *conf)
{
    uint32_t count = 1;
    const struct listener_conf *listeners = conf->listeners.data;
    for (uint32_t i = 0; i < conf->listeners.count; i++) count += 2 + listeners[i].routes.count;
    const struct pool_conf *pools = conf->pools.data;
    for (uint32_t i = 0; i < conf->pools.count; i++) count += 1 + pools[i].servers.count;
    return count;
}

static int add_pools(struct proxy *p, struct err *err)
{
    const struct pool_conf *confs = p->conf->pools.data;
    p->pools = calloc(p->conf->pools.count + 1, sizeof(struct pool *));
    p->pool_workers = calloc((size_t)(p->conf->pools.count + 1) * p->worker_count,
                             sizeof(struct pool_worker *));
    if (!p->pools || !p->pool_workers) return err_set(err, "out of memory for pools");
    for (uint32_t i = 0; i < p->conf->pools.count; i++) {
        uint32_t next_id = p->name_count;
        if (pool_new(&p->pools[i], &confs[i], i, &next_id, p->metrics, err) < 0) return -1;
        p->pool_count++;
        add_name(p, p->pools[i]->name);
        for (uint32_t j = 0; j < p->pools[i]->server_count; j++) add_name(p, p->pools[i]->servers[j].name);
    }
    return 0;
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
    p->names = calloc(count_names(conf), sizeof(char *));
    p->listeners = calloc(conf->listeners.count + 1, sizeof(struct listener));
    p->workers = calloc(p->worker_count, sizeof(struct worker *));
    p->clients = client_table_new(p->connection_limit);
    if (!p->names || !p->listeners || !p->workers || !p->clients)
        return err_set(err, "out of memory at start");
    p->name_count = 1; /* 0 is nobody */
    if (conf->gate && !(p->gate = gate_rules_new(conf->gate)))
        return err_set(err, "out of memory for the gate");
    if (add_pools(p, err) < 0) return -1;
    const struct listener_conf *listeners = conf->listeners.data;
    for (uint32_t i = 0; i < conf->listeners.count; i++) {
        p->listener_count++;
        if (add_listener(p, &p->listeners[i], &listeners[i], err) < 0) return -1;
    }
    add_gauges(p);
    if (conf->access_log && !(p->access_log = access_log_open(conf->access_log, p->worker_count, err)))
        return -1;
    return 0;
}

int proxy_new(struct proxy **out, const struct proxy_conf *conf, uint32_t worker_count,
              uint32_t connection_limit, uint64_t memory_limit, struct err *err)
{
    struct proxy *p = calloc(1, sizeof(*p));
    if (!p) return err_set(err, "out of memory at start");
    p->conf = conf;
    p->worker_count = worker_count;
    p->connection_limit = connection_limit;
    p->budget.limit = memory_limit;
    p->started_wall_ns = clock_wall_ns();
    if (build(p, err) < 0) {
        proxy_free(p);
        return -1;
    }
    *out = p;
    return 0;
}

int proxy_prepare(struct proxy *p, struct mailbox *control, void (*on_evidence)(void *, const struct mail *),
                  struct err *err)
{
    p->control = control;
    p->on_evidence = on_evidence;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        if (worker_new(&p->workers[i], p, i, err) < 0) return -1;
        for (uint32_t j = 0; j < p->pool_count; j++)
            p->pool_workers[(size_t)j * p->worker_count + i] = p->workers[i]->pools[j];
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

static void close_listener(struct listener *l, uint32_t worker_count)
{
    for (uint32_t i = 0; l->fds && i < worker_count; i++)
        if (l->fds[i] >= 0) close(l->fds[i]);
    /* Only what was bound here: the path may be another weir's socket, or no socket at all. */
    if (l->is_bound && l->conf->bind.sa.any.sa_family == AF_UNIX) unlink(l->conf->bind.sa.un.sun_path);
    free(l->fds);
    for (uint32_t i = 0; i < l->route_count; i++) gate_rules_free(l->routes[i].gate);
    free(l->routes);
    route_table_free(l->table);
    gate_rules_free(l->gate);
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
    for (uint32_t i = 0; p->listeners && i < p->listener_count; i++)
        close_listener(&p->listeners[i], p->worker_count);
    for (uint32_t i = 0; p->pools && i < p->pool_count; i++) pool_free(p->pools[i]);
    metric_registry_free(p->metrics);
    client_table_free(p->clients);
    gate_rules_free(p->gate);
    free(p->pool_workers);
    free(p->pools);
    free(p->workers);
    free(p->listeners);
    free(p->names);
    free(p);
}
