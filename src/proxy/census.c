#include "proxy/census.h"

#include "base/count.h"
#include "http/h2_client.h"
#include "pool/upstream.h"
#include "proxy/auth_call.h"
#include "proxy/compression.h"
#include "proxy/exchange_hedge.h"
#include "proxy/exchange_steps.h"
#include "proxy/introduction.h"
#include "proxy/mirror.h"
#include "proxy/proxy_conf.h"
#include "proxy/route_set.h"
#include "proxy/stock.h"
#include "proxy/tcp.h"
#include "proxy/tunnel.h"
#include "proxy/udp_session.h"

static void add_timer(struct census *c, const struct timer *t)
{
    c->reached[CENSUS_TIMERS] += timer_is_armed(t);
}

static void add_chain(struct census *c, const struct block *b)
{
    for (; b; b = b->next) c->reached[CENSUS_BLOCKS]++;
}

static void add_transport(struct census *c, const struct transport *t)
{
    c->descriptors += t->io.fd >= 0;
}

static void add_reach(struct census *c, const struct http_reach *r, enum census_kind connections)
{
    c->reached[connections] += r->connections;
    c->reached[CENSUS_BLOCKS] += r->blocks;
    c->reached[CENSUS_TIMERS] += r->timers;
    c->descriptors += r->descriptors;
}

static void add_attempt(struct census *c, const struct attempt *a)
{
    struct http_reach r = { 0 };
    if (a->stream) a->stream->ops->reach(a->stream, &r);
    add_reach(c, &r, CENSUS_SERVER_CONNECTIONS);
    if (!c->stock) return;
    stock_attempt(c->stock, a);
    if (r.connections)
        stock_server_connections(c->stock, server_worker_of(a->pool, a->server), r.connections);
}

static void add_auth_call(struct census *c, const struct auth_call *call)
{
    add_attempt(c, &call->attempt);
    if (c->stock) stock_server_view(c->stock, call->view);
}

static void add_exchange(struct census *c, const struct exchange *x)
{
    c->reached[CENSUS_EXCHANGES]++;
    c->reached[CENSUS_BLOCKS] += x->replay != NULL;
    add_chain(c, x->arena.blocks);
    add_timer(c, &x->timer);
    if (x->compression) {
        c->reached[CENSUS_BLOCKS] += x->compression->out != NULL;
        add_timer(c, &x->compression->pause);
    }
    add_attempt(c, &x->attempt);
    if (x->hedge) add_attempt(c, &x->hedge->attempt);
    if (x->file) c->descriptors += x->file->found.fd >= 0;
    if (exchange_auth_call(x)) add_auth_call(c, exchange_auth_call(x));
    if (c->stock) stock_exchange(c->stock, x);
}

static void add_session(struct census *c, struct listener_worker *lw, const struct tunnel *t)
{
    struct tcp_reach r;
    tcp_reach(t, &r);
    c->reached[CENSUS_TIMERS] += r.has_timer;
    if (!c->stock) return;
    stock_session(c->stock, &r);
    stock_client(c->stock, lw, r.is_client_counted);
}

/* What an upgraded exchange has of connections is its tunnel's: its own, or that of which it is a stream. */
static void add_upgraded(struct census *c, struct listener_worker *lw, const struct tunnel *t)
{
    const struct exchange *x = t->owner;
    struct http_reach r = { 0 };
    add_exchange(c, x);
    if (c->stock && t->halves[TUNNEL_CLIENT].is_connection) stock_client(c->stock, lw, x->is_client_counted);
    h2_client_reach_by(&t->halves[TUNNEL_SERVER].transport, &r);
    add_reach(c, &r, CENSUS_SERVER_CONNECTIONS);
    r.connections += t->halves[TUNNEL_SERVER].is_connection;
    if (c->stock && r.connections)
        stock_server_connections(c->stock, server_worker_of(x->pool, x->attempt.server), r.connections);
}

static void add_tunnel(struct census *c, struct listener_worker *lw, const struct tunnel *t, bool is_session)
{
    c->reached[CENSUS_TUNNELS]++;
    add_timer(c, &t->timer);
    for (unsigned side = 0; side < 2; side++) {
        c->reached[CENSUS_BLOCKS] += t->halves[side].hold != NULL;
        add_transport(c, &t->halves[side].transport);
    }
    if (is_session)
        add_session(c, lw, t);
    else
        add_upgraded(c, lw, t);
}

static void add_mirror(void *context, const struct mirror_reach *m)
{
    struct census *c = context;
    add_chain(c, m->arena);
    c->reached[CENSUS_BLOCKS] += m->body != NULL;
    add_timer(c, m->timer);
    add_attempt(c, m->attempt);
    if (c->stock) stock_mirror(c->stock, m);
}

static void add_client_stream(void *context, struct http_stream *s)
{
    add_exchange(context, s->owner);
}

static void add_client(struct census *c, struct listener_worker *lw, struct http_conn *conn)
{
    struct http_reach r = { 0 };
    http_conn_reach(conn, &r);
    add_reach(c, &r, CENSUS_CLIENT_CONNECTIONS);
    conn->ops->each_stream(conn, add_client_stream, c);
    if (c->stock && !conn->is_detached) stock_client(c->stock, lw, conn->client.is_counted);
}

static void add_introduction(struct census *c, const struct introduction *i)
{
    if (c->stock) stock_client(c->stock, i->listener, false);
    c->reached[CENSUS_CLIENT_CONNECTIONS]++;
    add_timer(c, &i->timer);
    add_transport(c, &i->transport);
}

static void add_datagrams(struct census *c, struct listener_worker *lw)
{
    const struct udp_listener *u = lw->udp;
    add_timer(c, &u->sweep);
    for (const struct udp_socket *k = u->sockets; k; k = k->next) c->descriptors += k->fd >= 0;
    for (const struct list *at = u->table.order.next; at != &u->table.order; at = at->next) {
        struct tcp_reach r;
        bool has_descriptor;
        udp_session_reach(udp_session_at(container_of(at, struct udp_place, order)), &r, &has_descriptor);
        c->reached[CENSUS_TUNNELS]++;
        c->descriptors += has_descriptor;
        if (!c->stock) continue;
        stock_session(c->stock, &r);
        stock_client(c->stock, lw, r.is_client_counted);
    }
    /* Those that are over have their memory and a socket, and are counted nowhere else. */
    c->reached[CENSUS_TUNNELS] += u->held_count;
    c->descriptors += u->held_count;
}

static void add_listener(struct census *c, struct listener_worker *lw)
{
    bool is_tcp = lw->routes->conf->protocol == LISTENER_TCP;
    for (const struct acceptor *a = lw->acceptor.loop ? &lw->acceptor : NULL; a; a = a->next) {
        c->descriptors += acceptor_is_open(a);
        add_timer(c, &a->pause);
    }
    if (lw->udp) add_datagrams(c, lw);
    for (const struct list *at = lw->connections.next; at != &lw->connections; at = at->next)
        add_client(c, lw, http_conn_at(at));
    for (const struct list *at = lw->introductions.next; at != &lw->introductions; at = at->next)
        add_introduction(c, container_of(at, struct introduction, link));
    for (const struct list *at = lw->tunnels.next; at != &lw->tunnels; at = at->next)
        add_tunnel(c, lw, container_of(at, struct tunnel, link), is_tcp);
}

static void add_pool(struct census *c, const struct pool_worker *pw)
{
    const struct roster *r = pw->view->set->roster;
    for (uint32_t i = 0; i < r->count; i++) {
        struct server_worker *sw = &r->places[i].server->workers[pw->env->index];
        const struct list *idle = &sw->idle;
        for (const struct list *at = idle->next; at != idle; at = at->next) {
            struct http_reach reach = { 0 };
            const struct upstream *u = container_of(at, struct upstream, link);
            u->ops->reach(u, &reach);
            if (c->stock) stock_server_connections(c->stock, sw, reach.connections);
            add_reach(c, &reach, CENSUS_SERVER_CONNECTIONS);
        }
    }
}

/* Whose tunnel has ended in a task is in no list until its own task comes, in the next turn. */
static void add_ending(struct census *c, const struct worker *w)
{
    for (const struct list *at = w->loop.tasks.next; at != &w->loop.tasks; at = at->next) {
        const struct exchange *x = exchange_that_ends(container_of(at, struct loop_task, link));
        if (x && !x->client && !x->tunnel) add_exchange(c, x);
    }
}

void census_count(const struct worker *w, struct census *out)
{
    out->counted[CENSUS_EXCHANGES] += count_get(&w->exchanges.live);
    out->counted[CENSUS_TUNNELS] += count_get(&w->tunnels.live) + count_get(&w->sessions.live) +
                                    count_get(&w->udp.sessions.live);
    out->counted[CENSUS_CLIENT_CONNECTIONS] += count_get(&w->clients.live) +
                                               count_get(&w->introductions.live);
    out->counted[CENSUS_BLOCKS] += count_get(&w->loop.blocks.live);
    out->counted[CENSUS_TIMERS] += count_get(&w->loop.timers.count);
    for (const struct list *at = w->pools.next; at != &w->pools; at = at->next)
        out->counted[CENSUS_SERVER_CONNECTIONS] += count_get(
            &container_of(at, struct pool_worker, link)->upstreams.live);
}

void census_take(const struct worker *w, struct census *out)
{
    census_count(w, out);
    for (const struct list *at = w->listeners.next; at != &w->listeners; at = at->next)
        add_listener(out, container_of(at, struct listener_worker, link));
    for (const struct list *at = w->pools.next; at != &w->pools; at = at->next)
        add_pool(out, container_of(at, struct pool_worker, link));
    mirror_reach(w, add_mirror, out);
    add_ending(out, w);
    if (w->resolver) resolver_reach(w->resolver, &out->reached[CENSUS_TIMERS], &out->descriptors);
    add_timer(out, &w->overload.timer);
    add_timer(out, &w->h2.again);
    out->descriptors += 2; /* the loop's and the mailbox's */
    out->descriptors += w->spare.fd >= 0;
}
