#include "proxy/route_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "proxy/fields.h"
#include "proxy/mirror_route.h"
#include "proxy/proxy.h"
#include "proxy/site.h"
#include "route/egress.h"
#include "route/sni_table.h"

static int find_pool(const struct site *s, const char *name, struct roster **out, struct err *err)
{
    *out = site_pool_by_name(s, slice_of(name));
    return *out ? 0 : err_set(err, "there is no pool \"%s\"", name);
}

/* Where it leads, but for what a `debug: {upstream}` says (change_site.c). */
static int find_destination(struct route_set *set, struct route *r, const struct route_conf *conf,
                            struct err *err)
{
    struct site *s = set->site;
    if (conf->debug) return 0;
    if (conf->pool) return find_pool(s, conf->pool, &r->pool, err);
    if (conf->split) {
        r->split = site_split_by_name(s, conf->split);
        return r->split ? 0 : err_set(err, "there is no split \"%s\"", conf->split);
    }
    if (!conf->egress) return 0;
    const char *const *allow = conf->egress->allow.data;
    if (egress_rules_new(&r->egress, allow, conf->egress->allow.count, err) < 0) return -1;
    return find_pool(s, conf->egress->pool, &r->pool, err);
}

static void add_meters(struct metric_registry *m, const char *listener, struct route *r)
{
    static const char *const classes[] = { "none", "1xx", "2xx", "3xx", "4xx", "5xx" };
    struct metric_label labels[] = { { "listener", listener }, { "route", r->name }, { "class", NULL } };
    r->meters.exchanges = metric_counter(m, "weir_route_exchanges_total", "Exchanges, by route.", labels, 2);
    r->meters.errors = metric_counter(m, "weir_route_errors_total",
                                      "Exchanges that failed, and not by the client's doing.", labels, 2);
    r->meters.seconds = metric_histogram(m, "weir_route_duration_seconds",
                                         "From a request's first byte to its response's last, by route.",
                                         labels, 2);
    for (unsigned i = 0; i < 6; i++) {
        labels[2].value = classes[i];
        r->meters.classes[i] = metric_counter_rare(
            m, "weir_route_responses_total", "Responses, by route and the class of their status.", labels, 3);
    }
}

static void add_auth_meters(const struct route_set *set, struct route *r)
{
    static const char *const names[AUTH_OUTCOMES] = { "unchecked", "passed", "required", "failed", "denied" };
    struct metric_label labels[] = { { "listener", set->listener->name },
                                     { "route", r->name },
                                     { "outcome", NULL } };
    for (unsigned i = 0; i < AUTH_OUTCOMES; i++) {
        labels[2].value = names[i];
        r->auth_meters[i] = metric_counter(set->site->proxy->metrics, "weir_auth_requests_total",
                                           "Requests that were asked who they are of, by what came of it.",
                                           labels, 3);
    }
}

static int find_auth_pool(const struct route_set *set, const struct auth_conf *auth, struct roster **out,
                          struct err *err)
{
    if (!auth_that_asks(auth) || !auth->forward) return 0;
    return find_pool(set->site, auth->forward->pool, out, err);
}

/* A route's own word goes before its listener's. */
static int add_auth(struct route_set *set, struct route *r, struct err *err)
{
    const struct auth_conf *auth = r->conf && r->conf->auth ? r->conf->auth : set->conf->auth;
    if (auth_that_asks(auth)) add_auth_meters(set, r);
    return find_auth_pool(set, auth, &r->auth_pool, err);
}

static int name_route(struct route_set *set, struct route *r, const char *name, struct err *err)
{
    struct proxy *p = set->site->proxy;
    r->id = names_intern(&p->names, name);
    if (!r->id) return err_set(err, "out of memory for its name");
    r->name = names_of(&p->names, r->id);
    add_meters(p->metrics, set->listener->name, r);
    return add_auth(set, r, err);
}

static int open_route(struct route_set *set, struct route *r, const struct route_conf *conf, struct err *err)
{
    r->conf = conf;
    if (name_route(set, r, conf->name, err) < 0) return -1;
    if (conf->gate) r->gate = conf->gate->slot;
    struct proxy *p = set->site->proxy;
    if (conf->rate && rate_limit_new(&r->rate, &p->rate_books, p->metrics, "route", set->listener->name,
                                     r->name, conf->rate, err) < 0)
        return -1;
    if (conf->rewrite && rewrite_new(&r->rewrite, conf->rewrite, err) < 0) return -1;
    if (conf->mirror &&
        mirror_route_new(&r->mirror, set->site, set->listener->name, r->name, conf->mirror, err) < 0)
        return -1;
    return find_destination(set, r, conf, err);
}

/* The listener's own pool, or its own answer, without conditions. */
static int open_only_route(struct route_set *set, struct err *err)
{
    struct route *r = &set->routes[set->route_count++];
    if (set->conf->rest.name) return open_route(set, r, &set->conf->rest, err);
    if (name_route(set, r, "default", err) < 0) return -1;
    return find_pool(set->site, set->conf->pool, &r->pool, err);
}

static int build_table(struct route_set *set, struct err *err)
{
    const struct route_conf *routes = set->conf->routes.data;
    uint32_t count = set->conf->routes.count;
    size_t conditions = 0, row_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        conditions += routes[i].headers.count + routes[i].query.count;
        row_count += route_conf_row_count(&routes[i]);
    }
    struct route_row *rows = calloc(row_count + 1, sizeof(*rows));
    struct route_condition *memory = calloc(conditions + 1, sizeof(*memory));
    if (rows && memory) {
        struct route_condition *at = memory;
        uint32_t used = 0;
        for (uint32_t i = 0; i < count; i++) {
            for (uint32_t n = 0; n < route_conf_row_count(&routes[i]); n++)
                rows[used++] = route_conf_row(&routes[i], n, i, at);
            at += routes[i].headers.count + routes[i].query.count;
        }
        if (set->conf->rest.name) rows[used++] = route_conf_row(&set->conf->rest, 0, count, at);
        set->table = route_table_new(rows, used, err);
    } else {
        err_set(err, "out of memory for %u routes", count);
    }
    free(rows);
    free(memory);
    return set->table ? 0 : -1;
}

static int open_routes(struct route_set *set, struct err *err)
{
    const struct route_conf *confs = set->conf->routes.data;
    uint32_t count = set->conf->routes.count;
    set->routes = calloc(count + 1, sizeof(struct route));
    if (!set->routes) return err_set(err, "out of memory for its routes");
    if (!count) return open_only_route(set, err);
    for (uint32_t i = 0; i < count; i++)
        if (open_route(set, &set->routes[set->route_count++], &confs[i], err) < 0)
            return err_prefix(err, "route \"%s\"", confs[i].name);
    if (set->conf->rest.name && open_only_route(set, err) < 0) return -1;
    if (set->conf->protocol != LISTENER_TCP) return build_table(set, err);
    set->names = sni_table_new(confs, count);
    return set->names ? 0 : err_set(err, "out of memory for its routes");
}

/* who it is */

struct identities {
    struct route_set *set;
    uint32_t room;
    bool is_full;
};

static void add_identity(void *context, const char *name)
{
    struct identities *all = context;
    struct route_set *set = all->set;
    if (fields_are_identity(set, slice_of(name))) return;
    if (set->identity_count == all->room) {
        uint32_t room = all->room ? 2 * all->room : 8;
        const char **more = realloc(set->identities, room * sizeof(*more));
        all->is_full |= !more;
        if (!more) return;
        set->identities = more;
        all->room = room;
    }
    set->identities[set->identity_count++] = name;
}

/* Of all its routes: a server may be behind several, and takes the field for weir's word whichever was taken. */
static int find_identities(struct route_set *set, struct err *err)
{
    struct identities all = { .set = set };
    const struct route_conf *routes = set->conf->routes.data;
    auth_conf_each_field(set->conf->auth, add_identity, &all);
    for (uint32_t i = 0; i < set->conf->routes.count; i++)
        auth_conf_each_field(routes[i].auth, add_identity, &all);
    return all.is_full ? err_set(err, "out of memory for its routes") : 0;
}

int route_set_open(struct route_set *r, struct site *site, struct listener *l,
                   const struct listener_conf *conf, struct err *err)
{
    r->site = site;
    r->listener = l;
    r->conf = conf;
    if (conf->gate) r->gate = conf->gate->slot;
    const struct route_conf *routes = conf->routes.data;
    r->has_cors = conf->cors != NULL;
    for (uint32_t i = 0; i < conf->routes.count; i++) r->has_cors |= routes[i].cors != NULL;
    struct proxy *p = site->proxy;
    if (conf->rate &&
        rate_limit_new(&r->rate, &p->rate_books, p->metrics, "listener", l->name, NULL, conf->rate, err) < 0)
        return -1;
    if (find_identities(r, err) < 0 || find_auth_pool(r, conf->auth, &r->auth_pool, err) < 0) return -1;
    return open_routes(r, err);
}

void route_set_close(struct route_set *set)
{
    for (uint32_t i = 0; i < set->route_count; i++) {
        struct route *r = &set->routes[i];
        rate_limit_free(r->rate);
        rewrite_free(r->rewrite);
        egress_rules_free(r->egress);
        mirror_route_free(r->mirror);
    }
    free(set->routes);
    free(set->identities);
    route_table_free(set->table);
    sni_table_free(set->names);
    rate_limit_free(set->rate);
}
