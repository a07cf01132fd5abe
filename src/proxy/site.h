/* proxy/site.h: one configuration at run time: the pools that it has, its splits, and for each listener what that does with
 * a request. Immutable but for counters, and counted: the proxy holds the one in force, each worker the one that it serves
 * by, and those that exchanges began with, for as long as these may still ask it something (site_view). The last word on
 * its memory is the control thread's, which alone makes and frees.
 *
 * An exchange past its response's head asks nothing any more, however long it goes on: it lets go of its site
 * (exchange_unpin()) and is a straggler then, for whom only the site's counters stay. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/count.h"
#include "base/list.h"
#include "base/slice.h"
#include "metric/metric.h"
#include "pool/roster.h"

struct conf_arena;
struct gate_slot;
struct proxy;
struct proxy_change;
struct proxy_conf;
struct rate_limit;
struct route_set;
struct split;
struct split_book;

struct site {
    _Atomic uint32_t refs, stragglers;
    uint32_t generation; /* counted from 1 */
    struct proxy *proxy;
    const struct proxy_conf *conf;
    struct conf_arena
        *arena; /* in which conf lies: one reference; NULL: it is the caller's, for longer than this */
    struct conf_arena *own; /* of what was decoded besides; NULL: nothing */
    struct gate_slot *gate; /* for every listener, the configuration's; NULL: none */
    struct roster **pools;  /* one reference each: the configuration's, then those of debug upstreams */
    struct rate_limit **pool_rates; /* by their seats; of the configuration's; NULL: as many as come */
    struct split *splits;
    struct route_set *listeners; /* in the configuration's order */
    uint32_t pool_count, pool_rate_count, split_count, listener_count;
    struct metric_scope meters;
    struct split_book *
        *books; /* of the splits, as many as there were: stragglers, too, are counted in them */
    uint32_t book_count;
    struct list link;            /* of the proxy's older sites */
    struct proxy_change *change; /* while it is being made */
    bool has_egress;
    _Atomic uint32_t stock_views, stock_stragglers; /* of proxy/stock.h: found by workers at its last round */
    bool is_hollow; /* nobody refers to it any more, but there are stragglers */
};

/* As one worker uses it. That worker's thread only. */
struct site_view {
    struct site *site; /* one reference */
    uint32_t users;
    bool is_current;
    uint64_t stock_round; /* of proxy/stock.h: when it was last walked, */
    uint32_t stock_users; /* and how many referred to it then */
    struct site_view *stock_next;
};

struct site *site_get(struct site *s);
static inline void site_put(struct site *s)
{
    count_less_shared(SITE, &s->refs);
}
/* NULL: none. */
static inline const struct rate_limit *site_pool_rate(const struct site *s, const struct roster *r)
{
    return r && r->conf->rate ? s->pool_rates[r->seat] : NULL;
}
struct roster *site_pool_by_name(const struct site *s, struct slice name);
struct split *site_split_by_name(const struct site *s, const char *name);

/* NULL: out of memory, and the reference is given back. */
struct site_view *site_view_new(struct site *s);
static inline struct site_view *site_view_get(struct site_view *v)
{
    v->users++;
    return v;
}
void site_view_put(struct site_view *v);
/* The worker goes on with another. */
void site_view_retire(struct site_view *v);
