#include "control/discovery.h"

#include <stdlib.h>

#include "base/log.h"
#include "conf/arena.h"
#include "control/source_list.h"
#include "discovery/sources.h"
#include "proxy/change.h"
#include "proxy/site.h"

struct discovery {
    struct finder api; /* first */
    struct servers_finder finder;
    struct discovery_options options;
    struct sources *sources;
    struct proxy *proxy;  /* NULL: not there yet, or no more */
    struct source **used; /* of the configuration in force: one user each */
    uint32_t used_count;
    struct list waits; /* of discovery_wait */
    bool is_stopped;
};

/* what a configuration needs */

/* One that there is no memory for is as one that fails. NULL with places: there is none for any. */
static struct source **hold(struct discovery *d, const struct config *config, uint32_t *count)
{
    const struct pool_conf *pools = config->proxy.pools.data;
    uint32_t room = proxy_conf_count_places(&config->proxy);
    struct source **held = room ? calloc(room, sizeof(struct source *)) : NULL;
    *count = 0;
    for (uint32_t i = 0; held && i < config->proxy.pools.count; i++) {
        const struct server_conf *servers = pools[i].servers.data;
        for (uint32_t k = 0; k < pools[i].servers.count; k++) {
            if (!place_is_one(&servers[k].address)) continue;
            struct source *s = sources_get(d->sources, &servers[k].address);
            if (s) held[(*count)++] = s;
        }
    }
    return held;
}

static void let_go(struct source **held, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) source_put(held[i]);
    free(held);
}

static const struct found *find(void *context, const struct address *place, uint32_t *count)
{
    const struct discovery *d = context;
    const struct source *s = sources_find(d->sources, place);
    *count = s ? s->count : 0;
    return s ? s->found : NULL;
}

/* changes */

static bool has_changed(const struct discovery *d, const struct pool_conf *written)
{
    const struct server_conf *servers = written->servers.data;
    for (uint32_t i = 0; i < written->servers.count; i++) {
        if (!place_is_one(&servers[i].address)) continue;
        const struct source *s = sources_find(d->sources, &servers[i].address);
        if (s && s->has_changed) return true;
    }
    return false;
}

static uint32_t count_missing(const struct roster *among, const struct pool_conf *of)
{
    const struct server_conf *servers = of->servers.data;
    uint32_t missing = 0;
    for (uint32_t i = 0; i < of->servers.count; i++)
        missing += !roster_server(among, slice_of(servers[i].name));
    return missing;
}

static void say_change(const struct pool *p, uint32_t before, uint32_t added)
{
    log_event(p->roster->count ? LOG_INFO : LOG_WARN, "servers_changed",
              "pool=%s servers=%u added=%u removed=%u", p->name, p->roster->count, added,
              before + added - p->roster->count);
}

/* False: there is no memory for it; the pool stays as it is. */
static bool change_pool(struct discovery *d, struct pool *p, const struct pool_conf *written,
                        struct conf_arena *arena)
{
    struct conf_arena *own;
    struct err err = { "" };
    char quoted[ERR_TEXT_MAX + 64];
    uint32_t left_out, before = p->roster->count;
    const struct pool_conf *found = found_pool_conf(written, arena, &d->finder, &own, &left_out);
    bool is_same = found && found_is_same(found, p->roster->conf);
    uint32_t added = !found || is_same ? 0 : count_missing(p->roster, found);
    int result = !found    ? err_set(&err, "there is no memory for its servers")
                 : is_same ? 0
                           : proxy_change_servers(d->proxy, p, found, own, &err);
    conf_arena_free(own);
    if (result < 0) {
        log_event(LOG_ERROR, "servers_not_changed", "pool=%s error=%s", p->name,
                  log_quote(err.text, quoted, sizeof(quoted)));
        return false;
    }
    if (is_same) return true;
    say_change(p, before, added);
    if (left_out) log_event(LOG_WARN, "servers_left_out", "pool=%s servers=%u", p->name, left_out);
    d->options.on_pool(d->options.context, p);
    return true;
}

static void on_change(void *context)
{
    struct discovery *d = context;
    const struct site *site = d->proxy ? d->proxy->site : NULL;
    const struct pool_conf *pools = site ? site->conf->pools.data : NULL;
    bool is_done = site != NULL;
    for (uint32_t i = 0; site && i < site->conf->pools.count; i++)
        if (has_changed(d, &pools[i]) &&
            !change_pool(d, proxy_pool_by_name(d->proxy, pools[i].name), &pools[i], site->arena))
            is_done = false;
    sources_told(d->sources, is_done || !site);
}

/* waiting */

static bool is_settled(const struct discovery_wait *w)
{
    for (uint32_t i = 0; i < w->count; i++)
        if (!w->sources[i]->fresh.has_answered) return false;
    return true;
}

static void end_wait(struct discovery_wait *w)
{
    list_remove(&w->link);
    loop_disarm(w->owner->options.loop, &w->timer);
    w->done(w);
}

static void on_wait_over(struct timer *t)
{
    end_wait(container_of(t, struct discovery_wait, timer));
}

/* A wait that ends may end others, or begin one. */
static void on_answer(void *context)
{
    struct discovery *d = context;
    for (struct list *at = d->waits.next; at != &d->waits;) {
        struct discovery_wait *w = container_of(at, struct discovery_wait, link);
        at = at->next;
        if (!d->is_stopped && !is_settled(w)) continue;
        end_wait(w);
        at = d->waits.next;
    }
}

bool discovery_await(struct discovery *d, struct discovery_wait *w, const struct config *config)
{
    discovery_wait_end(w);
    w->owner = d;
    list_init(&w->link);
    timer_init(&w->timer, on_wait_over);
    if (d->is_stopped) return true;
    w->sources = hold(d, config, &w->count);
    if (is_settled(w)) return true;
    list_push_back(&d->waits, &w->link);
    loop_arm(d->options.loop, &w->timer, DISCOVERY_FIRST_MS);
    return false;
}

void discovery_wait_end(struct discovery_wait *w)
{
    if (!w->owner) return;
    list_remove(&w->link);
    loop_disarm(w->owner->options.loop, &w->timer);
    struct source **sources = w->sources;
    uint32_t count = w->count;
    *w = (struct discovery_wait){ .done = w->done };
    let_go(sources, count);
}

void discovery_await_first(struct discovery *d, const bool *is_over)
{
    struct loop *loop = d->options.loop;
    uint64_t end_ms = clock_now_ns() / NS_PER_MS + DISCOVERY_FIRST_MS, now_ms;
    while (!(is_over && *is_over) && !sources_are_settled(d->sources) &&
           (now_ms = clock_now_ns() / NS_PER_MS) < end_ms)
        loop_turn(loop, (int)(end_ms - now_ms));
    if (is_over && *is_over) return;
    for (const struct source *s = sources_next(d->sources, NULL); s; s = sources_next(d->sources, s)) {
        char place[SOURCE_QUOTED_MAX];
        if (!s->fresh.has_answered)
            log_event(LOG_WARN, "source_unanswered", "source=%s kind=%s waited_ms=%u", source_quote(s, place),
                      place_kind_name(s->place.kind), DISCOVERY_FIRST_MS);
    }
}

/* all of it */

void discovery_use(struct discovery *d, const struct config *config)
{
    struct source **before = d->used;
    uint32_t before_count = d->used_count;
    if (d->is_stopped) return;
    struct source **held = hold(d, config, &d->used_count);
    if (!held && proxy_conf_count_places(&config->proxy)) {
        d->used_count = before_count; /* rather those of before than none */
        return;
    }
    d->used = held;
    let_go(before, before_count);
}

void discovery_serve(struct discovery *d, struct proxy *p)
{
    d->proxy = p;
    sources_show(d->sources, p->metrics);
}

static void list(struct finder *f, struct answer *out)
{
    const struct discovery *d = (const struct discovery *)f;
    source_list(d->sources, d->proxy, loop_now_ms(d->options.loop), out);
}

int discovery_new(struct discovery **out, const struct discovery_options *o, struct err *err)
{
    struct discovery *d = calloc(1, sizeof(*d));
    if (!d) return err_set(err, "out of memory for finding servers");
    const struct sources_options sources = { .loop = o->loop,
                                             .jobs = o->jobs,
                                             .resolver = &o->started->proxy.resolver,
                                             .on_change = on_change,
                                             .on_answer = on_answer,
                                             .context = d };
    d->api.list = list;
    d->finder = (struct servers_finder){ find, d };
    d->options = *o;
    list_init(&d->waits);
    if (sources_new(&d->sources, &sources, err) < 0) {
        free(d);
        return -1;
    }
    *out = d;
    return 0;
}

void discovery_stop(struct discovery *d)
{
    if (!d || d->is_stopped) return;
    d->is_stopped = true;
    on_answer(d);
    let_go(d->used, d->used_count);
    d->used = NULL;
    d->used_count = 0;
    d->proxy = NULL;
}

void discovery_free(struct discovery *d)
{
    if (!d) return;
    discovery_stop(d);
    sources_free(d->sources);
    free(d);
}

const struct servers_finder *discovery_finder(struct discovery *d)
{
    return &d->finder;
}

const struct sources *discovery_sources(const struct discovery *d)
{
    return d->sources;
}

struct finder *discovery_api(struct discovery *d)
{
    return &d->api;
}
