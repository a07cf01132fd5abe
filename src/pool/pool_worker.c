#include "pool/pool_worker.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/count.h"
#include "pool/queue.h"

/* One connection to a server, and whose it is. */
struct upstream {
    struct h1_client http; /* first */
    struct server_worker *home;
    uint32_t max_requests;   /* of this connection; the server may have said fewer */
    struct address target[]; /* one in egress pools, none in others */
};

/* How many idle connections are looked at for one to the same target. */
#define TARGET_LOOKS 16

static const struct h1_client_owner owner;

/* Of the configuration in force. */
static const struct pool_conf *conf_of(const struct pool_worker *pw)
{
    return pw->view->set->roster->conf;
}

static bool is_egress(const struct pool_worker *pw)
{
    return pw->pool->kind == POOL_EGRESS;
}

/* Whom the operator took out needs no kept connections any more, but for the clients that it still has. */
static bool keeps_idle(const struct server_worker *sw)
{
    const struct server *s = sw->server;
    if (atomic_load_explicit(&s->is_retired, memory_order_relaxed)) return false;
    return server_is_enabled(s) ||
           (sw->pool->view->set->roster->sticky && atomic_load(&s->admin) == SERVER_DRAIN);
}

static struct upstream *upstream_of(struct h1_client *c)
{
    return container_of(c, struct upstream, http);
}

/* views */

/* Looked for from `first` on: sets keep the order of the configuration. */
static uint32_t index_in(const struct peer_set *set, const struct server *s, uint32_t first)
{
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t at = (first + i) % set->count;
        if (set->servers[at] == s) return at;
    }
    return BALANCE_NONE;
}

/* Sets change every few seconds while servers warm up, on a quiet site oftener than a light server's turn comes: what
 * this worker remembers goes over. Without memory for that it begins anew. */
static void inherit(const struct pool_worker *pw, struct pool_view *view, const struct pool_view *old)
{
    const struct peer_set *set = view->set;
    const struct balance_method *m = set->method;
    if (!m->inherit || m != old->set->method || !set->count || !old->set->count) return;
    uint32_t *from = malloc(set->count * sizeof(*from)), next = 0;
    if (!from) return;
    for (uint32_t i = 0; i < set->count; i++) {
        from[i] = index_in(old->set, set->servers[i], next);
        if (from[i] != BALANCE_NONE) next = from[i] + 1;
    }
    m->inherit(view->balance.table, view->balance.state, old->balance.table, old->balance.state, from,
               &pw->env->loop->rng);
    free(from);
}

static struct pool_view *view_new(const struct pool_worker *pw, struct peer_set *set)
{
    const struct balance_method *m = set->method;
    size_t state = m->state_size + set->count * m->state_size_per_peer;
    struct pool_view *view = calloc(1, sizeof(*view) + state + 16);
    if (!view) return NULL;
    view->set = set;
    view->is_current = true;
    view->balance = (struct balance){ .method = m, .table = set->table, .state = state ? view + 1 : NULL };
    if (pw->view) inherit(pw, view, pw->view);
    return view;
}

static void view_free(struct pool_view *view)
{
    peer_set_put(view->set);
    free(view);
}

void pool_view_put(struct pool_view *view)
{
    if (bug_if(POOL_WORKER, !view->users)) return; /* leaked rather than freed under somebody */
    if (--view->users == 0 && !view->is_current) view_free(view);
}

static void close_all_idle(struct server_worker *sw);

static void use_limits(struct pool_worker *pw)
{
    const struct pool_limits_conf *limits = &conf_of(pw)->limits;
    pw->limits = (struct h1_limits){ .head_max = (uint32_t)limits->head_bytes, .field_max = limits->headers };
}

static void close_unwanted_idle(struct pool_worker *pw, const struct roster *r)
{
    for (uint32_t i = 0; i < r->count; i++) {
        struct server_worker *sw = server_worker_of(pw, r->places[i].server);
        if (!keeps_idle(sw)) close_all_idle(sw);
    }
}

void pool_worker_publish(struct pool_worker *pw, struct peer_set *set)
{
    struct pool_view *view = view_new(pw, set);
    if (!view) {
        peer_set_put(set); /* goes on with the old one: the next change tries again */
        return;
    }
    struct pool_view *old = pw->view;
    bool was_marked = pw->is_marked;
    if (old) queue_mark(pw, false);
    pw->view = view;
    use_limits(pw);
    if (!old) return;
    queue_mark(pw, was_marked);
    close_unwanted_idle(pw, old->set->roster);
    if (set->roster != old->set->roster) close_unwanted_idle(pw, set->roster);
    old->is_current = false;
    if (!old->users) view_free(old);
    queue_look(pw);
}

/* counting */

void pool_unlease(struct pool_worker *pw, struct server *s)
{
    slot_free(pw, s);
}

void pool_connection_closed(struct pool_worker *pw, struct server *s)
{
    slot_give(&s->peer.open_connections);
    count_add(pw->env->upstream_live, -1);
    count_add(&pw->open, -1);
    slot_pass(pw, s);
}

bool pool_enter(struct pool_worker *pw, struct server *s)
{
    if (!slot_enter(pw, s)) return false;
    atomic_fetch_add(&s->peer.open_connections, 1);
    count_add(pw->env->upstream_live, 1);
    count_add(&pw->open, 1);
    return true;
}

void pool_leave(struct pool_worker *pw, struct server *s)
{
    slot_give(&s->peer.open_connections);
    count_add(pw->env->upstream_live, -1);
    count_add(&pw->open, -1);
    slot_free(pw, s);
}

/* connections */

static void set_idle_count(struct server_worker *sw, int change)
{
    uint32_t now = atomic_load_explicit(&sw->idle_count, memory_order_relaxed);
    atomic_store_explicit(&sw->idle_count, now + (uint32_t)change, memory_order_relaxed);
    count_add(sw->pool->env->upstream_idle, change);
}

static uint64_t idle_ms(const struct upstream *u)
{
    return (h1_conn_loop(&u->http.conn)->now_ns - u->http.idle_since_ns) / NS_PER_MS;
}

/* In egress pools it is a target that closed, of which its local address knows nothing. */
static void learn_idle_close(const struct upstream *u)
{
    const struct loop *l = h1_conn_loop(&u->http.conn);
    if (!is_egress(u->home->pool)) server_saw_idle_close(u->home->server, idle_ms(u), loop_now_ms(l));
}

/* Off the idle list, to be used or closed. */
static void leave_idle(struct upstream *u)
{
    list_remove(&u->http.link);
    set_idle_count(u->home, -1);
}

static void close_idle(struct upstream *u)
{
    if (u->http.transport.has_hangup) learn_idle_close(u);
    leave_idle(u);
    h1_client_close(&u->http);
}

static void bury_upstream(struct loop_grave *g)
{
    struct upstream *u = container_of(g, struct upstream, http.grave);
    slab_put(&u->home->pool->upstreams, u);
}

static void on_closed(struct h1_client *c)
{
    struct upstream *u = upstream_of(c);
    struct server_worker *sw = u->home;
    struct loop *l = h1_conn_loop(&c->conn);
    /* The peer ended it while it was idle: h1_conn_retire() took it off the list, the count is still to be
     * set. */
    if (c->is_idle) {
        if (c->closed_by_peer) learn_idle_close(u);
        set_idle_count(sw, -1);
    }
    if (!c->conn.is_detached) pool_connection_closed(sw->pool, sw->server);
    loop_bury(l, &c->grave, bury_upstream);
}

/* Targets that are asked no more would keep out the others. */
bool pool_worker_close_oldest(struct server_worker *sw)
{
    if (list_is_empty(&sw->idle)) return false;
    struct upstream *u = container_of(sw->idle.prev, struct upstream, http.link);
    u->http.is_idle = false;
    close_idle(u);
    return true;
}

static void on_idle(struct h1_client *c)
{
    struct upstream *u = upstream_of(c);
    struct server_worker *sw = u->home;
    const struct pool_conf *conf = conf_of(sw->pool);
    struct loop *l = h1_conn_loop(&c->conn);
    bool is_worn = u->max_requests && c->exchanges >= u->max_requests;
    bool has_room = atomic_load_explicit(&sw->idle_count, memory_order_relaxed) < conf->idle_connections;
    if (is_worn || !keeps_idle(sw) || !(has_room || (is_egress(sw->pool) && pool_worker_close_oldest(sw)))) {
        h1_client_close(c);
        return;
    }
    list_push_front(&sw->idle, &c->link);
    set_idle_count(sw, 1);
    c->is_idle = true;
    loop_arm(l, &c->timer, server_idle_limit_ms(sw->server, conf->timeouts.keep_alive_ms, loop_now_ms(l)));
    /* Somebody may have a slot and lack this connection. Last: it may be closed for him. */
    slot_pass(sw->pool, sw->server);
}

static void on_keep_alive(struct h1_client *c, uint32_t timeout_s, uint32_t max)
{
    struct upstream *u = upstream_of(c);
    if (timeout_s && !is_egress(u->home->pool)) server_said_idle(u->home->server, timeout_s);
    if (max != UINT32_MAX) {
        uint64_t last = (uint64_t)c->exchanges + max; /* max: how many more it will serve */
        if (last < UINT32_MAX && (!u->max_requests || last < u->max_requests))
            u->max_requests = (uint32_t)last;
    }
}

static void on_stale(struct h1_client *c, uint64_t idle_ns)
{
    struct upstream *u = upstream_of(c);
    const struct loop *l = h1_conn_loop(&c->conn);
    if (!is_egress(u->home->pool))
        server_saw_idle_close(u->home->server, idle_ns / NS_PER_MS, loop_now_ms(l));
}

static const struct h1_client_owner owner = {
    .on_idle = on_idle,
    .on_closed = on_closed,
    .on_stale = on_stale,
    .on_keep_alive = on_keep_alive,
};

/* The timer may have been set for an earlier time of idleness. */
static void on_idle_timer(struct timer *t)
{
    struct upstream *u = container_of(t, struct upstream, http.timer);
    if (!u->http.is_idle) return;
    struct loop *l = h1_conn_loop(&u->http.conn);
    uint64_t limit = server_idle_limit_ms(u->home->server, conf_of(u->home->pool)->timeouts.keep_alive_ms,
                                          loop_now_ms(l));
    uint64_t idle = idle_ms(u);
    if (idle >= limit) {
        u->http.is_idle = false;
        close_idle(u);
    } else {
        loop_arm(l, t, limit - idle);
    }
}

/* The latest used one, to the target if there is one; NULL: none. */
static struct upstream *latest_idle(const struct server_worker *sw, const struct pool_target *target)
{
    uint32_t looks = 0;
    for (struct list *at = sw->idle.next; at != &sw->idle; at = at->next) {
        struct upstream *u = container_of(at, struct upstream, http.link);
        if (!target || address_equal(u->target, &target->address)) return u;
        if (++looks == TARGET_LOOKS) break;
    }
    return NULL;
}

/* The latest used that is still good; those found dead on the way are closed. */
static struct upstream *take_idle(struct server_worker *sw, enum lease_need need,
                                  const struct pool_target *target)
{
    struct loop *l = sw->pool->env->loop;
    uint64_t conf_ms = conf_of(sw->pool)->timeouts.keep_alive_ms;
    uint32_t limit = need == LEASE_ANY ? server_idle_limit_ms(sw->server, conf_ms, loop_now_ms(l))
                                       : server_young_limit_ms(sw->server, conf_ms, loop_now_ms(l));
    struct upstream *u;
    /* It closes after each answer: even one that was used a moment ago may be closed already. */
    if (need != LEASE_ANY && !limit) return NULL;
    while ((u = latest_idle(sw, target))) {
        struct transport *t = &u->http.transport;
        bool is_dead = transport_is_dead(t);
        if (!is_dead && idle_ms(u) > limit && need != LEASE_ANY) return NULL; /* the others are older still */
        u->http.is_idle = false;
        if (!is_dead && idle_ms(u) <= limit) {
            leave_idle(u);
            return u;
        }
        close_idle(u);
    }
    return NULL;
}

static void on_close_one_mail(void *reader, const struct mail *m)
{
    (void)reader;
    (void)pool_worker_close_oldest(m->object);
}

/* The cap counts idle connections too: one that another worker does not need is asked for. */
static void ask_for_idle(struct server_worker *sw)
{
    struct pool_worker *pw = sw->pool;
    for (uint32_t i = 1; i < pw->env->worker_count; i++) {
        struct pool_worker *other = pw->pool->workers[(pw->env->index + i) % pw->env->worker_count];
        struct server_worker *theirs = server_worker_of(other, sw->server);
        if (!atomic_load_explicit(&theirs->idle_count, memory_order_relaxed)) continue;
        struct mail m = { .deliver = on_close_one_mail, .object = theirs };
        if (mailbox_post(other->env->box, &m)) return;
    }
}

static int begin_connect(struct upstream *u, const struct pool_target *target)
{
    const struct pool_worker *pw = u->home->pool;
    const struct address *own = &u->home->server->address;
    if (target) u->target[0] = target->address;
    return h1_client_connect(&u->http, &owner, pw->env->loop, target ? &target->address : own,
                             target ? own : NULL, &pw->limits);
}

static enum lease open_new(struct server_worker *sw, const struct pool_target *target,
                           struct http_stream **stream, enum end_reason *reason)
{
    struct pool_worker *pw = sw->pool;
    struct server *s = sw->server;
    if (!slot_take(&s->peer.open_connections, server_connection_cap(s))) {
        ask_for_idle(sw);
        return LEASE_FULL;
    }
    struct upstream *u = slab_get(&pw->upstreams);
    if (!u) {
        slot_give(&s->peer.open_connections);
        *reason = END_NO_MEMORY;
        return LEASE_FAILED;
    }
    u->home = sw;
    u->max_requests = conf_of(pw)->max_requests;
    metric_add(pw->env->metrics, s->meter_connects, 1);
    if (begin_connect(u, target) < 0) {
        *reason = h1_client_connect_reason(&u->http.transport);
        slot_give(&s->peer.open_connections);
        loop_bury(pw->env->loop, &u->http.grave, bury_upstream);
        return LEASE_FAILED;
    }
    u->http.timer.on_timer = on_idle_timer;
    count_add(pw->env->upstream_live, 1);
    count_add(&pw->open, 1);
    *stream = h1_client_lease(&u->http);
    return LEASE_OPENING;
}

enum lease pool_lease(struct pool_worker *pw, struct server *s, enum lease_need need,
                      const struct pool_target *target, struct http_stream **stream, enum end_reason *reason)
{
    struct server_worker *sw = server_worker_of(pw, s);
    if (bug_if(POOL_WORKER, s->pool != pw->pool) || is_egress(pw) != (target != NULL)) {
        *reason = END_INTERNAL;
        return LEASE_FAILED;
    }
    if (!slot_enter(pw, s)) return LEASE_FULL;
    struct upstream *u = need == LEASE_FRESH ? NULL : take_idle(sw, need, target);
    if (u) {
        *stream = h1_client_lease(&u->http);
        metric_add(pw->env->metrics, s->meter_reuses, 1);
        return LEASE_OPEN;
    }
    /* At the cap an idle connection that is too old for this request makes way for a new one. */
    uint32_t cap = server_connection_cap(s);
    if (cap && !list_is_empty(&sw->idle) &&
        atomic_load_explicit(&s->peer.open_connections, memory_order_relaxed) >= cap)
        (void)pool_worker_close_oldest(sw);
    enum lease got = open_new(sw, target, stream, reason);
    /* Full of connections: whoever closes one passes the slot on, and to do it here would go round in circles. */
    if (got == LEASE_FULL) slot_give(&s->peer.in_flight);
    if (got == LEASE_FAILED) slot_free(pw, s);
    return got;
}

static void observe(const struct pool_view *view, struct server *s, const struct balance_outcome *outcome)
{
    const struct peer_set *set = view->set;
    /* Whoever was named, not picked, may have been asked although nobody can be picked: then there is no
     * table. */
    if (set->method->observe && set->count) set->method->observe(set->table, &s->peer, outcome);
}

static void tell_control(struct pool_worker *pw, struct server *s, enum server_evidence evidence)
{
    if (evidence == SERVER_CONNECTED && !atomic_load_explicit(&s->has_failed, memory_order_relaxed)) return;
    if (evidence == SERVER_CONNECT_FAILED) atomic_store_explicit(&s->has_failed, true, memory_order_relaxed);
    if (!pw->env->control) return;
    struct mail m = { .deliver = pw->env->on_evidence, .object = s, .number = evidence };
    bool is_posted = mailbox_post(pw->env->control, &m);
    (void)is_posted; /* a full box: there is evidence enough in it */
}

void pool_attempt_ended(struct pool_worker *pw, const struct pool_view *view, struct server *s,
                        const struct pool_evidence *e)
{
    bool is_end = e->kind == POOL_ENDED;
    if (bug_if(POOL_WORKER, !s || s->pool != pw->pool)) return;
    if (e->kind == POOL_CONNECTED) tell_control(pw, s, SERVER_CONNECTED);
    /* Whom an egress route's request goes to says nothing of the address that it leaves by. */
    if (is_end && end_reason_info(e->reason)->is_connect && !is_egress(pw))
        tell_control(pw, s, SERVER_CONNECT_FAILED);
    if (!view || e->kind == POOL_CONNECTED || e->value == POOL_UNTIMED) return;
    uint64_t now_ns = pw->env->loop->now_ns;
    observe(view, s, &(struct balance_outcome){ now_ns, e->value, is_end || e->kind == POOL_ANSWERED_ERROR });
}

void server_worker_init(struct server_worker *sw, struct server *s, struct pool_worker *pw)
{
    sw->server = s;
    sw->pool = pw;
    list_init(&sw->idle);
    list_init(&sw->handed_link);
}

int pool_worker_new(struct pool_worker **out, struct pool *p, const struct pool_worker_env *env,
                    struct err *err)
{
    struct pool_worker *pw = calloc(1, sizeof(*pw));
    if (!pw) return err_set(err, "out of memory for pool \"%s\"", p->name);
    pw->pool = p;
    pw->env = env;
    list_init(&pw->link);
    queue_init(pw);
    slab_init(&pw->upstreams, &env->loop->blocks,
              sizeof(struct upstream) + (is_egress(pw) ? sizeof(struct address) : 0));
    for (uint32_t i = 0; i < p->roster->count; i++) {
        struct server *s = p->roster->places[i].server;
        server_worker_init(server_worker_of(pw, s), s, pw);
    }
    pool_worker_publish(pw, peer_set_get(p->current));
    if (!pw->view) {
        slab_fini(&pw->upstreams);
        free(pw);
        return err_set(err, "out of memory for pool \"%s\"", p->name);
    }
    p->workers[env->index] = pw;
    *out = pw;
    return 0;
}

static void close_all_idle(struct server_worker *sw)
{
    while (pool_worker_close_oldest(sw)) {}
}

void pool_worker_close_idle(struct pool_worker *pw)
{
    const struct roster *r = pw->view->set->roster;
    for (uint32_t i = 0; i < r->count; i++) close_all_idle(server_worker_of(pw, r->places[i].server));
}

bool pool_worker_is_quiet(const struct pool_worker *pw)
{
    return !count_get(&pw->upstreams.live) && !count_get(&pw->open) && !count_get(&pw->queue_length);
}

void pool_worker_free(struct pool_worker *pw)
{
    if (!pw) return;
    queue_fini(pw);
    if (pw->view) {
        assert(!pw->view->users);
        view_free(pw->view);
    }
    slab_fini(&pw->upstreams);
    list_remove(&pw->link);
    pw->pool->workers[pw->env->index] = NULL;
    free(pw);
}
