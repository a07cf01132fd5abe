#include "proxy/change.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "conf/arena.h"
#include "conf/decode.h"
#include "net/socket_set.h"
#include "pool/found_servers.h"
#include "pool/pool_worker_life.h"
#include "proxy/listener.h"
#include "proxy/proxy_conf.h"
#include "proxy/route_set.h"
#include "proxy/site.h"
#include "proxy/udp_listener.h"
#include "proxy/worker_life.h"

/* pools */

static struct pool *kept_pool(const struct proxy *p, const struct pool_conf *conf)
{
    struct pool *pool = proxy_pool_by_name(p, conf->name);
    return pool && pool->kind == conf->kind ? pool : NULL;
}

/* What each worker will have of it. */
static int attach_workers(struct proxy *p, struct pool *pool, struct err *err)
{
    for (uint32_t i = 0; i < p->worker_count; i++) {
        struct pool_worker *pw;
        if (p->workers[i] && pool_worker_new(&pw, pool, &p->workers[i]->pool_env, err) < 0) return -1;
    }
    return 0;
}

static void free_pool(struct proxy *p, struct pool *pool)
{
    for (uint32_t i = 0; i < p->worker_count; i++) pool_worker_free(pool->workers[i]);
    pool_free(pool, &p->pool_env);
}

static int make_pool(struct proxy_change *c, const struct pool_conf *conf, struct conf_arena *arena,
                     struct err *err)
{
    struct proxy *p = c->proxy;
    struct pool *pool = kept_pool(p, conf);
    struct pool_change *change = &c->pools[c->pool_count];
    bool is_new = !pool;
    if (!is_new && pool_prepare(change, pool, &p->pool_env, conf, arena, err) < 0) return -1;
    if (is_new) {
        if (pool_new(&pool, &p->pool_env, conf, arena, err) < 0) return -1;
        *change = (struct pool_change){ .pool = pool, .roster = pool->roster };
        if (attach_workers(p, pool, err) < 0) {
            free_pool(p, pool);
            return -1;
        }
    }
    c->is_new_pool[c->pool_count++] = is_new;
    return 0;
}

static void warn_of_left_out(const char *pool, uint32_t left_out)
{
    if (left_out) log_event(LOG_WARN, "servers_left_out", "pool=%s servers=%u", pool, left_out);
}

/* The pool gets the servers that are found by now; the site does not hold them. */
static int make_open_pool(struct proxy_change *c, struct roster **out, const struct pool_conf *conf,
                          struct conf_arena *arena, struct err *err)
{
    struct conf_arena *own;
    uint32_t left_out;
    const struct pool_conf *found = found_pool_conf(conf, arena, c->proxy->finder, &own, &left_out);
    if (!found) return err_set(err, "there is no memory for the servers of pool \"%s\"", conf->name);
    int result = make_pool(c, found, own, err);
    conf_arena_free(own);
    if (result < 0) return -1;
    warn_of_left_out(conf->name, left_out);
    return roster_new_open(out, c->pools[c->pool_count - 1].pool, conf, arena, err);
}

static struct roster *add_pool(struct proxy_change *c, struct site *s, const struct pool_conf *conf,
                               struct conf_arena *arena, struct err *err)
{
    struct roster *r = NULL;
    if (found_is_needed(conf)) {
        if (make_open_pool(c, &r, conf, arena, err) < 0) return NULL;
    } else {
        if (make_pool(c, conf, arena, err) < 0) return NULL;
        r = roster_get(c->pools[c->pool_count - 1].roster);
    }
    r->seat = c->pools[c->pool_count - 1].roster->seat = s->pool_count;
    return s->pools[s->pool_count++] = r;
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

int change_pools(struct proxy_change *c, struct site *s, struct err *err)
{
    const struct pool_conf *confs = s->conf->pools.data;
    c->pool_room = s->conf->pools.count + count_debug_routes(s->conf);
    c->pools = calloc(c->pool_room + 1, sizeof(*c->pools));
    c->is_new_pool = calloc(c->pool_room + 1, sizeof(*c->is_new_pool));
    s->pools = calloc(c->pool_room + 1, sizeof(*s->pools));
    c->in_force = calloc(c->pool_room + 1, sizeof(struct pool *));
    if (!c->pools || !c->is_new_pool || !s->pools || !c->in_force)
        return err_set(err, "out of memory for pools");
    for (uint32_t i = 0; i < s->conf->pools.count; i++)
        if (!add_pool(c, s, &confs[i], s->arena, err)) return -1;
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

struct roster *change_debug_pool(struct proxy_change *c, struct site *s, const char *listener,
                                 const char *route, const struct address *upstream, struct err *err)
{
    if (!s->own) s->own = conf_arena_new();
    struct pool_conf *conf = conf_arena_alloc(s->own, sizeof(*conf));
    size_t room = strlen(listener) + strlen(route) + sizeof("debug:/");
    char *name = conf_arena_alloc(s->own, room);
    if (name) snprintf(name, room, "debug:%s/%s", listener, route);
    if (!name || decode_pool_of(upstream, conf, s->own) < 0) {
        err_set(err, "out of memory for its debug upstream");
        return NULL;
    }
    conf->name = name;
    return add_pool(c, s, conf, s->own, err);
}

/* listeners */

/* The same name elsewhere is another listener: what is on its way to the old place is still taken there, by the old one. */
static struct listener *kept_listener(const struct proxy *p, const struct listener_conf *conf)
{
    for (uint32_t i = 0; i < p->listener_count; i++) {
        struct listener *l = p->listeners[i];
        const struct listener_conf *now = l->routes->conf;
        if (strcmp(l->name, conf->name) == 0 && now->protocol == conf->protocol &&
            address_equal(&now->bind, &conf->bind))
            return l;
    }
    return NULL;
}

static bool is_kept(const struct proxy *p, const struct listener *l)
{
    for (uint32_t i = 0; i < p->listener_count; i++)
        if (p->listeners[i] == l) return true;
    return false;
}

/* Where workers have to listen elsewhere than they do. */
static bool is_elsewhere(const struct proxy_change *c, uint32_t n)
{
    return c->sockets[n] && c->sockets[n] != c->listeners[n]->sockets;
}

static uint32_t count_elsewhere(const struct proxy_change *c)
{
    uint32_t count = 0, workers = c->proxy->worker_count;
    for (uint32_t n = 0; n < c->listener_count; n++)
        if (is_elsewhere(c, n)) count += (c->sockets[n]->count + workers - 1) / workers;
    return count;
}

static int share_sockets(const struct proxy_change *c, uint32_t worker, struct err *err)
{
    struct worker_change *change = c->workers[worker];
    for (uint32_t n = 0; n < c->listener_count; n++) {
        for (uint32_t i = worker; is_elsewhere(c, n) && i < c->sockets[n]->count;
             i += c->proxy->worker_count) {
            int fd = socket_set_share(c->sockets[n], i, err);
            if (fd < 0) return err_prefix(err, "listener \"%s\"", c->listeners[n]->name);
            change->sockets[change->socket_count++] = (struct worker_socket){ n, fd };
        }
    }
    return 0;
}

static int prepare_workers(struct proxy_change *c, struct err *err)
{
    const struct proxy *p = c->proxy;
    c->workers = calloc(p->worker_count + 1, sizeof(*c->workers));
    if (!c->workers) return err_set(err, "out of memory for what workers are told");
    for (uint32_t i = 0; i < p->worker_count; i++) {
        if (!p->workers[i]) continue;
        if (!(c->workers[i] = worker_change_new(c->site, count_elsewhere(c))))
            return err_set(err, "out of memory for what workers are told");
        if (share_sockets(c, i, err) < 0) return -1;
    }
    return 0;
}

static int prepare_listeners(struct proxy_change *c, const struct proxy_conf *conf, struct err *err)
{
    const struct listener_conf *confs = conf->listeners.data;
    c->listeners = calloc(conf->listeners.count + 1, sizeof(*c->listeners));
    c->sockets = calloc(conf->listeners.count + 1, sizeof(*c->sockets));
    if (!c->listeners || !c->sockets) return err_set(err, "out of memory for listeners");
    for (uint32_t i = 0; i < conf->listeners.count; i++) {
        struct listener *l = kept_listener(c->proxy, &confs[i]);
        bool is_udp = confs[i].protocol == LISTENER_UDP;
        if (!l && listener_new(&l, c->proxy, confs[i].name, is_udp, err) < 0) return -1;
        c->listeners[c->listener_count++] = l;
        if (change_find_sockets(c, i, &confs[i], err) < 0)
            return err_prefix(err, "listener \"%s\"", confs[i].name);
    }
    return 0;
}

static void free_listener(struct listener *l)
{
    for (uint32_t i = 0; i < l->proxy->worker_count; i++) udp_listener_free(l->workers[i].udp);
    listener_free(l);
}

static void discard_listeners(struct proxy_change *c)
{
    for (uint32_t n = 0; n < c->listener_count; n++) {
        struct listener *l = c->listeners[n];
        if (c->sockets[n] && list_is_empty(&c->sockets[n]->link)) socket_set_close(c->sockets[n]);
        if (!is_kept(c->proxy, l)) free_listener(l);
    }
    free(c->listeners);
    free(c->sockets);
}

/* all of it */

static void empty(struct proxy_change *c)
{
    free(c->pools);
    free(c->is_new_pool);
    free(c->in_force);
    free(c->workers);
    *c = (struct proxy_change){ 0 };
}

static void discard_pools(struct proxy_change *c)
{
    for (uint32_t i = 0; i < c->pool_count; i++) {
        if (c->is_new_pool[i])
            free_pool(c->proxy, c->pools[i].pool);
        else
            pool_discard(&c->pools[i], &c->proxy->pool_env);
    }
}

void proxy_discard_change(struct proxy_change *c)
{
    for (uint32_t i = 0; c->workers && i < c->proxy->worker_count; i++) worker_change_free(c->workers[i]);
    if (c->site) {
        site_put(c->site);
        bool is_gone = change_free_site(c->site);
        (void)is_gone; /* nobody has seen it */
    }
    discard_pools(c);
    discard_listeners(c);
    empty(c);
}

/* what goes */

static bool is_server_quiet(void *object)
{
    const struct server *s = object;
    return !atomic_load(&s->refs) && !atomic_load(&s->peer.in_flight) &&
           !atomic_load(&s->peer.open_connections);
}

static bool end_server(struct proxy *p, void *object)
{
    server_free(object, p->metrics);
    return true;
}

static void forget_server(struct worker *w, void *object)
{
    server_worker_forget(&((struct server *)object)->workers[w->index]);
}

static const struct retire_kind server_kind = { is_server_quiet, forget_server, end_server };

static bool is_pool_quiet(void *object)
{
    const struct pool *pool = object;
    if (pool->sites) return false;
    for (uint32_t i = 0; i < pool->worker_count; i++)
        if (pool->workers[i] && !pool_worker_is_quiet(pool->workers[i])) return false;
    return true;
}

static void forget_pool(struct worker *w, void *object)
{
    struct pool *pool = object;
    pool_worker_forget(pool->workers[w->index]);
}

static bool end_pool(struct proxy *p, void *object)
{
    free_pool(p, object);
    return true;
}

static const struct retire_kind pool_kind = { is_pool_quiet, forget_pool, end_pool };

/* Connections are looked at last: whoever still goes by what has it may take one, and hand it to a worker that does not. */
static bool is_listener_quiet(void *object)
{
    const struct listener *l = object;
    return !l->has_departure && proxy_goes_by(l->proxy, l->gone_in) && !atomic_load(&l->connections);
}

static void forget_listener(struct worker *w, void *object)
{
    struct listener_worker *lw = &((struct listener *)object)->workers[w->index];
    if (lw->udp)
        udp_listener_kill(
            lw->udp, END_DRAINED); /* it has no session any more: its sockets, if others took from them */
    list_remove(&lw->link);
    site_view_put(lw->view);
    lw->view = NULL;
}

static bool end_listener(struct proxy *p, void *object)
{
    (void)p;
    free_listener(object);
    return true;
}

static const struct retire_kind listener_kind = { is_listener_quiet, forget_listener, end_listener };

static bool is_site_quiet(void *object)
{
    return !atomic_load(&((struct site *)object)->refs);
}

static bool end_site(struct proxy *p, void *object)
{
    (void)p;
    return change_free_site(object);
}

static const struct retire_kind site_kind = { is_site_quiet, NULL, end_site };

static void retire_pool(struct proxy *p, struct pool *pool)
{
    for (uint32_t i = 0; i < pool->roster->count; i++)
        atomic_store(&pool->roster->places[i].server->is_retired, true);
    for (uint32_t i = 0; i < p->worker_count; i++) worker_close_idle(p->workers[i], pool);
    retire_add(p, &pool_kind, pool);
}

/* Servers that the roster in force before had and this one has not. */
static void retire_servers(struct proxy *p, const struct roster *before)
{
    for (uint32_t i = 0; i < before->count; i++) {
        struct server *s = before->places[i].server;
        if (atomic_load(&s->is_retired)) retire_add(p, &server_kind, s);
    }
}

/* What is on its way out when the process ends: a site, its listeners and pools. */
static uint32_t count_at_end(const struct proxy *p)
{
    return 1 + p->listener_count + p->pool_count;
}

void proxy_publish(struct proxy *p, struct pool *pool)
{
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (p->workers[i]) worker_publish(p->workers[i], peer_set_get(pool->current));
}

int proxy_change_servers(struct proxy *p, struct pool *pool, const struct pool_conf *conf,
                         struct conf_arena *arena, struct err *err)
{
    struct pool_change change;
    struct roster *before = pool->roster;
    struct pool_env env = p->pool_env;
    env.names_reserve = NAMES_RESERVE;
    if (retire_reserve(p, count_at_end(p) + before->count, err) < 0 ||
        pool_prepare(&change, pool, &env, conf, arena, err) < 0)
        return -1;
    change.roster->seat = before->seat;
    roster_get(before);
    pool_commit(&change);
    retire_servers(p, before);
    proxy_publish(p, pool);
    roster_put(before);
    return 0;
}

/* preparing */

/* By where its routes lie, not by what they say: the site of one that has been forgotten may be freed already. */
static bool is_of_site(const void *object, const void *context)
{
    const struct listener *l = object;
    const struct site *s = context;
    uintptr_t routes = (uintptr_t)l->routes, begin = (uintptr_t)s->listeners;
    return routes >= begin && routes < begin + s->listener_count * sizeof(*s->listeners);
}

/* Those that only wait for their turn to be freed, for the counters of what goes on without them, or for a listener that
 * still takes what was on its way to it, do not count. */
static int check_older(const struct proxy *p, struct err *err)
{
    uint32_t held = 0;
    for (const struct list *at = p->older.next; at != &p->older; at = at->next) {
        const struct site *s = container_of(at, struct site, link);
        held += atomic_load(&s->refs) > 0 && !retire_has(p, &listener_kind, is_of_site, s);
    }
    if (held < OLDER_SITES_MAX) return 0;
    return err_set(
        err,
        "%u older configurations are still held by requests that have no answer yet; try again when "
        "some have ended, or give their pools a shorter timeouts: {first_byte} or {total}",
        held);
}

/* All that may go with the configuration in force; what the next has goes at the end. */
static uint32_t count_all(const struct proxy *p, const struct proxy_conf *next)
{
    uint32_t count = count_at_end(p) + 1 + next->listeners.count + next->pools.count +
                     count_debug_routes(next);
    for (uint32_t i = 0; i < p->pool_count; i++) count += p->pools[i]->roster->count;
    for (const struct list *at = p->sockets.next; at != &p->sockets; at = at->next) count++;
    return count;
}

int proxy_prepare_change(struct proxy_change *c, struct proxy *p, const struct proxy_conf *conf,
                         struct conf_arena *arena, struct err *err)
{
    *c = (struct proxy_change){ .proxy = p };
    if (check_older(p, err) == 0 && retire_reserve(p, count_all(p, conf), err) == 0 &&
        prepare_listeners(c, conf, err) == 0 && change_new_site(&c->site, c, conf, arena, err) == 0 &&
        prepare_workers(c, err) == 0)
        return 0;
    proxy_discard_change(c);
    return -1;
}

/* putting it in place */

static void commit_pools(struct proxy_change *c)
{
    struct proxy *p = c->proxy;
    struct pool **before = p->pools;
    uint32_t before_count = p->pool_count;
    p->pools = c->in_force;
    c->in_force = NULL;
    p->pool_count = c->pool_count;
    for (uint32_t i = 0; i < c->pool_count; i++) {
        struct pool *pool = p->pools[i] = c->pools[i].pool;
        pool->sites++;
        if (!c->is_new_pool[i]) {
            struct roster *old = roster_get(pool->roster);
            pool_commit(&c->pools[i]);
            retire_servers(p, old);
            roster_put(old);
        }
        proxy_publish(p, pool);
    }
    for (uint32_t i = 0; i < before_count; i++) {
        bool is_gone = true;
        for (uint32_t k = 0; k < p->pool_count; k++)
            if (p->pools[k] == before[i]) is_gone = false;
        if (is_gone) retire_pool(p, before[i]);
    }
    free(before);
}

static void commit_listeners(struct proxy_change *c)
{
    struct proxy *p = c->proxy;
    struct listener **before = p->listeners;
    uint32_t before_count = p->listener_count;
    p->listeners = c->listeners;
    p->listener_count = c->listener_count;
    for (uint32_t i = 0; i < c->listener_count; i++) c->listeners[i]->routes = &c->site->listeners[i];
    for (uint32_t i = 0; i < before_count; i++) {
        if (is_kept(p, before[i])) continue;
        if (before[i]->sockets) before[i]->sockets->last = before[i];
        before[i]->sockets = NULL;
        before[i]->gone_in = p->generation;
        retire_add(p, &listener_kind, before[i]);
    }
    free(before);
}

bool proxy_goes_by(const struct proxy *p, uint32_t generation)
{
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (p->workers[i] && atomic_load(&p->workers[i]->generation) < generation) return false;
    return true;
}

void proxy_commit_change(struct proxy_change *c, const struct mail *done)
{
    struct proxy *p = c->proxy;
    struct site *before = p->site;
    p->site = c->site;
    p->site->generation = ++p->generation;
    commit_pools(c);
    commit_listeners(c);
    change_commit_sockets(c);
    for (uint32_t i = 0; i < p->worker_count; i++) {
        if (!c->workers[i]) continue;
        if (done) c->workers[i]->done = *done;
        worker_swap(p->workers[i], c->workers[i]);
    }
    free(c->sockets);
    empty(c);
    if (!before) return;
    list_push_back(&p->older, &before->link);
    site_put(before);
    retire_add(p, &site_kind, before);
}

void proxy_end_site(struct proxy *p)
{
    if (p->site) {
        site_put(p->site);
        retire_add(p, &site_kind, p->site);
    }
    for (uint32_t i = 0; i < p->pool_count; i++) retire_add(p, &pool_kind, p->pools[i]);
    for (uint32_t i = 0; i < p->listener_count; i++) retire_add(p, &listener_kind, p->listeners[i]);
    proxy_close_sockets(p);
    retire_all(p);
}
