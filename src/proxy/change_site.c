/* The making of a site, and its end. */
#include <stdlib.h>

#include "base/bug.h"
#include "conf/arena.h"
#include "proxy/change.h"
#include "proxy/proxy.h"
#include "proxy/rate.h"
#include "proxy/route_set.h"
#include "proxy/site.h"
#include "proxy/split.h"
#include "proxy/split_book.h"

static int add_splits(struct site *s, struct err *err)
{
    const struct split_conf *confs = s->conf->splits.data;
    s->splits = calloc(s->conf->splits.count + 1, sizeof(struct split));
    s->books = calloc(s->conf->splits.count + 1, sizeof(struct split_book *));
    if (!s->splits || !s->books) return err_set(err, "out of memory for splits");
    for (uint32_t i = 0; i < s->conf->splits.count; i++) {
        s->split_count++;
        int result = split_open(&s->splits[i], s, &confs[i], err);
        s->books[s->book_count++] = s->splits[i].book;
        if (result < 0) return -1;
    }
    return 0;
}

/* Pools that no configuration names, of one server each. */
static int add_debug_pools(struct site *s, struct route_set *set, struct err *err)
{
    for (uint32_t i = 0; i < set->route_count; i++) {
        struct route *r = &set->routes[i];
        if (!r->conf || !r->conf->debug) continue;
        r->pool = change_debug_pool(s->change, s, set->listener->name, r->name, &r->conf->debug->upstream,
                                    err);
        if (!r->pool) return err_prefix(err, "route \"%s\"", r->conf->name);
    }
    return 0;
}

static int add_listeners(struct site *s, struct err *err)
{
    const struct listener_conf *confs = s->conf->listeners.data;
    s->listeners = calloc(s->conf->listeners.count + 1, sizeof(struct route_set));
    if (!s->listeners) return err_set(err, "out of memory for listeners");
    for (uint32_t i = 0; i < s->conf->listeners.count; i++) {
        struct route_set *r = &s->listeners[s->listener_count++];
        if (route_set_open(r, s, change_listener(s->change, i), &confs[i], err) < 0 ||
            add_debug_pools(s, r, err) < 0)
            return err_prefix(err, "listener \"%s\"", confs[i].name);
        for (uint32_t k = 0; k < r->route_count; k++)
            if (r->routes[k].egress) s->has_egress = true;
    }
    return 0;
}

static int add_pool_rates(struct site *s, struct err *err)
{
    struct proxy *p = s->proxy;
    s->pool_rates = calloc(s->pool_count + 1, sizeof(struct rate_limit *));
    if (!s->pool_rates) return err_set(err, "out of memory for pools");
    for (uint32_t i = 0; i < s->pool_count; i++) {
        const struct rate_conf *conf = s->pools[i]->conf->rate;
        const char *name = s->pools[i]->pool->name;
        if (conf &&
            rate_limit_new(&s->pool_rates[i], &p->rate_books, p->metrics, "pool", name, NULL, conf, err) < 0)
            return err_prefix(err, "pool \"%s\"", name);
        s->pool_rate_count++;
    }
    return 0;
}

static int fill(struct site *s, struct err *err)
{
    if (s->conf->gate) s->gate = s->conf->gate->slot;
    if (change_pools(s->change, s, err) < 0 || add_pool_rates(s, err) < 0 || add_splits(s, err) < 0)
        return -1;
    return add_listeners(s, err);
}

int change_new_site(struct site **out, struct proxy_change *change, const struct proxy_conf *conf,
                    struct conf_arena *arena, struct err *err)
{
    struct site *s = calloc(1, sizeof(*s));
    if (!s) return err_set(err, "out of memory for the configuration");
    atomic_init(&s->refs, 1);
    list_init(&s->link);
    s->proxy = change->proxy;
    s->conf = conf;
    s->arena = conf_arena_get(arena);
    s->change = change;
    metric_scope_open(s->proxy->metrics, &s->meters);
    int result = fill(s, err);
    metric_scope_close(s->proxy->metrics, &s->meters);
    s->change = NULL;
    if (result < 0) {
        site_put(s);
        (void)bug_if(SITE, !change_free_site(s)); /* nobody has seen it */
        return -1;
    }
    *out = s;
    return 0;
}

/* All but what stragglers count in. */
static void hollow_out(struct site *s)
{
    for (uint32_t i = 0; i < s->listener_count; i++) route_set_close(&s->listeners[i]);
    /* Only one that was in force was counted. */
    for (uint32_t i = 0; s->generation && i < s->pool_count; i++) s->pools[i]->pool->sites--;
    for (uint32_t i = 0; i < s->split_count; i++) split_close(&s->splits[i]);
    for (uint32_t i = 0; i < s->pool_count; i++) roster_put(s->pools[i]);
    for (uint32_t i = 0; i < s->pool_rate_count; i++) rate_limit_free(s->pool_rates[i]);
    free(s->pool_rates);
    free(s->listeners);
    free(s->splits);
    free(s->pools);
    conf_arena_free(s->own);
    conf_arena_free(s->arena);
    s->listeners = NULL;
    s->gate = NULL;
    s->pool_rates = NULL;
    s->splits = NULL;
    s->pools = NULL;
    s->listener_count = s->split_count = s->pool_count = s->pool_rate_count = 0;
    s->is_hollow = true;
}

bool change_free_site(struct site *s)
{
    if (bug_if(SITE, atomic_load_explicit(&s->refs, memory_order_acquire))) return false;
    if (!s->is_hollow) hollow_out(s);
    if (atomic_load_explicit(&s->stragglers, memory_order_acquire)) return false;
    metric_scope_retire(s->proxy->metrics, &s->meters);
    for (uint32_t i = 0; i < s->book_count; i++) split_book_close(s->books[i]);
    free(s->books);
    list_remove(&s->link);
    free(s);
    return true;
}
