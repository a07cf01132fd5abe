#include "proxy/listener.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/bind.h"
#include "proxy/mirror.h"
#include "proxy/proxy.h"
#include "route/egress.h"

static const enum end_reason refusals[] = { END_GATE_DENIED, END_CLIENT_CONNECTIONS, END_CONNECTION_LIMIT,
                                            END_NO_DESCRIPTORS, END_NO_MEMORY };

static void add_meters(struct listener *l, struct metric_registry *m)
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

static int find_pool(struct proxy *p, const char *name, struct pool **out, struct err *err)
{
    *out = proxy_pool_by_name(p, name);
    return *out ? 0 : err_set(err, "there is no pool \"%s\"", name);
}

/* Where it leads. */
static int find_destination(struct proxy *p, const struct listener *l, struct route *r,
                            const struct route_conf *conf, struct err *err)
{
    if (conf->debug)
        return (r->pool = proxy_debug_pool(p, l->name, r->name, &conf->debug->upstream, err)) ? 0 : -1;
    if (conf->pool) return find_pool(p, conf->pool, &r->pool, err);
    if (conf->split) {
        r->split = proxy_split_by_name(p, conf->split);
        return r->split ? 0 : err_set(err, "there is no split \"%s\"", conf->split);
    }
    if (!conf->egress) return 0;
    const char *const *allow = conf->egress->allow.data;
    if (egress_rules_new(&r->egress, allow, conf->egress->allow.count, err) < 0) return -1;
    return find_pool(p, conf->egress->pool, &r->pool, err);
}

static int open_route(struct route *r, struct proxy *p, const struct listener *l,
                      const struct route_conf *conf, struct err *err)
{
    r->conf = conf;
    r->name = conf->name;
    r->id = names_intern(&p->names, r->name);
    if (conf->gate && !(r->gate = gate_rules_new(conf->gate)))
        return err_set(err, "out of memory for its gate");
    if (conf->rewrite && rewrite_new(&r->rewrite, conf->rewrite, err) < 0) return -1;
    if (conf->mirror && mirror_route_new(&r->mirror, p, l->name, r->name, conf->mirror, err) < 0) return -1;
    const struct metric_label labels[] = { { "listener", l->name }, { "route", r->name } };
    r->meter_exchanges = metric_counter(p->metrics, "weir_route_exchanges_total", "Exchanges, by route.",
                                        labels, 2);
    return find_destination(p, l, r, conf, err);
}

/* The listener's own pool, without conditions. */
static int open_only_route(struct listener *l, struct proxy *p, struct err *err)
{
    struct route *r = &l->routes[l->route_count++];
    r->name = "default";
    r->id = names_intern(&p->names, r->name);
    const struct metric_label labels[] = { { "listener", l->name }, { "route", r->name } };
    r->meter_exchanges = metric_counter(p->metrics, "weir_route_exchanges_total", "Exchanges, by route.",
                                        labels, 2);
    return find_pool(p, l->conf->pool, &r->pool, err);
}

static int build_table(struct listener *l, struct err *err)
{
    const struct route_conf *routes = l->conf->routes.data;
    uint32_t count = l->conf->routes.count;
    size_t conditions = 0;
    for (uint32_t i = 0; i < count; i++) conditions += routes[i].headers.count + routes[i].query.count;
    struct route_row *rows = calloc(count, sizeof(*rows));
    struct route_condition *memory = calloc(conditions + 1, sizeof(*memory));
    if (rows && memory) {
        struct route_condition *at = memory;
        for (uint32_t i = 0; i < count; i++) {
            rows[i] = route_conf_row(&routes[i], i, at);
            at += routes[i].headers.count + routes[i].query.count;
        }
        l->table = route_table_new(rows, count, err);
    } else {
        err_set(err, "out of memory for %u routes", count);
    }
    free(rows);
    free(memory);
    return l->table ? 0 : -1;
}

static int open_routes(struct listener *l, struct proxy *p, struct err *err)
{
    const struct route_conf *confs = l->conf->routes.data;
    uint32_t count = l->conf->routes.count;
    l->routes = calloc(count ? count : 1, sizeof(struct route));
    if (!l->routes) return err_set(err, "out of memory for its routes");
    if (!count) return open_only_route(l, p, err);
    for (uint32_t i = 0; i < count; i++)
        if (open_route(&l->routes[l->route_count++], p, l, &confs[i], err) < 0)
            return err_prefix(err, "route \"%s\"", confs[i].name);
    return build_table(l, err);
}

static int open_sockets(struct listener *l, uint32_t worker_count, struct err *err)
{
    l->fds = malloc(worker_count * sizeof(int));
    if (!l->fds) return err_set(err, "out of memory for its sockets");
    for (uint32_t i = 0; i < worker_count; i++) l->fds[i] = -1;
    unsigned defer_s = (unsigned)((l->conf->timeouts.header_ms + 999) / 1000);
    bool is_http = l->conf->protocol == LISTENER_HTTP;
    if (bind_open(&l->conf->bind, is_http, defer_s, l->fds, worker_count, err) < 0) return -1;
    l->is_bound = true;
    return 0;
}

int listener_open(struct listener *l, struct proxy *p, const struct listener_conf *conf, struct err *err)
{
    l->conf = conf;
    l->name = conf->name;
    l->index = (uint32_t)(l - p->listeners);
    l->proxy = p;
    l->id = names_intern(&p->names, l->name);
    add_meters(l, p->metrics);
    if (conf->gate && !(l->gate = gate_rules_new(conf->gate)))
        return err_set(err, "out of memory for the gate of listener \"%s\"", l->name);
    if (open_routes(l, p, err) < 0 || (!p->is_detached && open_sockets(l, p->worker_count, err) < 0))
        return err_prefix(err, "listener \"%s\"", l->name);
    return 0;
}

void listener_close(struct listener *l)
{
    for (uint32_t i = 0; l->fds && i < l->proxy->worker_count; i++)
        if (l->fds[i] >= 0) close(l->fds[i]);
    /* Only what was bound here: the path may be another weir's socket, or no socket at all. */
    if (l->is_bound && l->conf->bind.sa.any.sa_family == AF_UNIX) unlink(l->conf->bind.sa.un.sun_path);
    free(l->fds);
    for (uint32_t i = 0; i < l->route_count; i++) {
        struct route *r = &l->routes[i];
        gate_rules_free(r->gate);
        rewrite_free(r->rewrite);
        egress_rules_free(r->egress);
        mirror_route_free(r->mirror);
    }
    free(l->routes);
    route_table_free(l->table);
    gate_rules_free(l->gate);
}

bool listener_needs_scratch(const struct listener *l)
{
    if (l->table && route_table_needs_scratch(l->table)) return true;
    for (uint32_t i = 0; i < l->route_count; i++)
        if (l->routes[i].rewrite && rewrite_needs_scratch(l->routes[i].rewrite)) return true;
    return false;
}
