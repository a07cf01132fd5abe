#include "proxy/tcp.h"

#include "base/bug.h"
#include "base/count.h"
#include "http/h1_client.h"
#include "net/proxy_protocol.h"
#include "pool/queue.h"
#include "pool/upstream_tls.h"
#include "proxy/attempt.h"
#include "proxy/descriptors.h"
#include "proxy/record.h"
#include "proxy/site.h"
#include "proxy/tcp_route.h"
#include "proxy/tunnel.h"
#include "record/flight_ring.h"
#include "record/mention.h"
#include "tls/conn.h"

#include <stdlib.h>
#include <unistd.h>

#define TRIED_MAX 64

/* Both sides and what is known of them. The client's transport waits in the tunnel until the server's is open. */
struct session {
    struct tunnel tunnel; /* first */
    struct listener_worker *listener;
    struct pool_worker *pool;
    struct site_view *site;              /* until the server's side is open */
    struct pool_view *view;              /* NULL: it has let go of its configuration */
    char (*addresses)[ADDRESS_TEXT_MAX]; /* of its attempts' servers, once there is no view to ask; malloc */
    struct attempt attempt;
    struct pool_waiter waiter;
    struct timer timer; /* connect, queue */
    struct ip client;
    uint64_t id, start_ns;
    uint32_t tried[TRIED_MAX];
    bool has_overflown;
    uint32_t tried_count, attempts;
    enum end_reason last;
    bool is_again, is_waiting, is_over, is_client_counted;
    bool is_opening;  /* the client's side is, or its route is looked for: for as long as a head may take */
    bool is_secure;   /* TLS ends here */
    bool owes_header; /* the server is to be told who the client is, before anything else */
    const struct route_set *routes; /* as long as `site` is held */
    struct tls_facts *tls;          /* of the client's side, one reference; NULL: it is plain */
    struct flight_record record;
};

static void connect_next(struct session *s);

static struct loop *loop_of(const struct session *s)
{
    return &s->listener->worker->loop;
}

static void bury(struct loop_grave *g)
{
    struct tunnel *t = container_of(g, struct tunnel, grave);
    struct session *s = container_of(t, struct session, tunnel);
    bool is_seen = timer_is_armed(&s->timer) || !list_is_empty(&s->waiter.link) || !list_is_empty(&t->link);
    if (bug_if(TCP, is_seen || s->attempt.server)) return; /* leaked rather than freed under somebody */
    free(s->addresses);
    tls_facts_put(s->tls);
    slab_put(&s->listener->worker->sessions, s);
}

static void write_record(struct session *s)
{
    const char *kept[FLIGHT_ATTEMPTS] = { NULL };
    for (unsigned i = 0; s->addresses && i < FLIGHT_ATTEMPTS; i++)
        kept[i] = s->addresses[i][0] ? s->addresses[i] : NULL;
    /* Before it is known where it goes, it has a pool that it does not go to. */
    struct record_places places = { s->record.pool ? s->pool->pool : NULL,
                                    s->view ? s->view->set->roster : NULL, kept };
    record_tunnel(s->listener->worker, s->listener, &places, &s->record, s->id, s->tls);
}

/* Both sides are closed: what remains is to count and to record. */
static void retire(struct session *s, enum end_reason reason)
{
    struct worker *w = s->listener->worker;
    struct flight_record *r = &s->record;
    if (s->is_over) return;
    s->is_over = true;
    attempt_end(&s->attempt, reason);
    if (s->is_waiting) pool_stop_waiting(s->pool, &s->waiter);
    attempt_leave(&s->attempt);
    loop_disarm(&w->loop, &s->timer);
    list_remove(&s->tunnel.link);
    count_less(TCP, &w->live.tunnels);
    worker_client_closed(s->listener, &s->client, s->is_client_counted);
    r->end = (uint8_t)reason;
    r->total_us = (w->loop.now_ns - s->start_ns) / 1000;
    r->bytes_in = s->tunnel.halves[TUNNEL_CLIENT].bytes;
    r->bytes_out = s->tunnel.halves[TUNNEL_SERVER].bytes;
    write_record(s);
    overload_note(w, reason);
    w->recorded++;
    if (s->view) pool_view_put(s->view);
    if (s->site) site_view_put(s->site);
    loop_bury(&w->loop, &s->tunnel.grave, bury);
}

static void on_end(struct tunnel *t, enum end_reason reason)
{
    retire(container_of(t, struct session, tunnel), reason);
}

static void give_up(struct session *s, enum end_reason reason)
{
    tunnel_kill(&s->tunnel, reason);
}

static void leave_server(struct session *s)
{
    transport_close(&s->tunnel.halves[TUNNEL_SERVER].transport, false);
    attempt_leave(&s->attempt);
}

static void attempt_failed(struct session *s, enum end_reason reason)
{
    if (bug_if(TCP, !attempt_is_in_hand(&s->attempt))) { /* between attempts nothing fails */
        give_up(s, END_INTERNAL);
        return;
    }
    attempt_end(&s->attempt, reason);
    leave_server(s);
    loop_disarm(loop_of(s), &s->timer);
    s->last = reason;
    connect_next(s);
}

static void opened(struct session *s)
{
    struct loop *l = loop_of(s);
    loop_disarm(l, &s->timer);
    if (bug_if(TCP, !attempt_is_in_hand(&s->attempt) || !s->site)) {
        give_up(s, END_INTERNAL);
        return;
    }
    attempt_opened(&s->attempt);
    s->record.connected_us = flight_us(s->start_ns, l->now_ns);
    site_view_put(s->site);
    s->site = NULL;
    tcp_unpin(&s->tunnel); /* the configuration may have changed since it began */
    s->tunnel.halves[TUNNEL_SERVER].transport.on_ready = tunnel_on_ready_server;
    s->tunnel.halves[TUNNEL_CLIENT].transport.on_ready = tunnel_on_ready_client;
    tunnel_start(&s->tunnel);
}

/* Where the client has connected to; ours of a unix socket has no address that a server would know. */
static struct address reached_by(const struct transport *client)
{
    struct address a = { .len = sizeof(a.sa) };
    if (getsockname(client->io.fd, &a.sa.any, &a.len) < 0) a = (struct address){ .len = sizeof(sa_family_t) };
    return a;
}

/* A fresh connection takes so little at once. What is sent is weir's own: the server has not heard the client yet. */
static bool send_header(struct session *s, struct transport *t)
{
    char header[PROXY_HEADER_WRITTEN_MAX];
    const enum proxy_protocol version = s->view->set->roster->conf->proxy_protocol;
    struct address client = address_from_ip(&s->client, s->record.client_port);
    struct address server = reached_by(&s->tunnel.halves[TUNNEL_CLIENT].transport);
    size_t sent = 0, len = proxy_header_write(header, version, &client, &server);
    struct iovec whole = { header, len };
    if (transport_send(t, &whole, 1, &sent) != IO_OK || sent != len) return false;
    t->has_sent = false;
    return true;
}

/* The connection is there: what comes before the client's bytes. END_NONE, or why it cannot go on. */
static enum end_reason introduce(struct session *s, struct transport *t)
{
    if (!s->owes_header) return END_NONE;
    if (bug_if(TCP, !s->view)) return END_INTERNAL; /* it is let go of once the server is open */
    s->owes_header = false;
    if (!send_header(s, t)) return END_CONNECT_FAILED;
    if (!upstream_is_secure(s->pool, NULL)) return END_NONE;
    return upstream_secure(s->pool, s->attempt.server, NULL, NULL, t);
}

static void on_server_ready(struct transport *t)
{
    struct session *s = container_of(t, struct session, tunnel.halves[TUNNEL_SERVER].transport);
    char mention[MENTION_MAX];
    enum io io = transport_open(t);
    enum end_reason failed = io == IO_OK ? introduce(s, t) : END_NONE;
    if (failed) {
        attempt_failed(s, failed);
        return;
    }
    if (io == IO_OK) io = transport_open(t); /* TLS may have come over it */
    switch (io) {
    case IO_OK: opened(s); return;
    case IO_AGAIN: return;
    case IO_EOF:
    case IO_FAIL:
        attempt_say_tls_failed(&s->attempt, h1_client_connect_reason(t), t->fault_words,
                               mention_print(&s->record, NULL, mention));
        attempt_failed(s, h1_client_connect_reason(t));
        return;
    }
}

static void use_route(struct session *s, const struct route *route)
{
    const struct pool_timeouts *conf = &route->pool->conf->timeouts;
    const struct tunnel_timeouts timeouts = { conf->idle_ms, conf->half_closed_ms, conf->total_ms };
    tunnel_set_timeouts(&s->tunnel, &timeouts);
    if (bug_if(TCP, attempt_is_in_hand(&s->attempt))) { /* nobody would give its slot back */
        attempt_end(&s->attempt, END_INTERNAL);
        leave_server(s);
    }
    if (s->view) pool_view_put(s->view);
    s->pool = route->pool->pool->workers[s->listener->worker->index];
    s->view = pool_view_get(s->pool);
    s->attempt = (struct attempt){ .pool = s->pool, .view = s->view, .record = &s->record };
    s->waiter.priority = (uint8_t)(route->conf ? route->conf->priority : POOL_PRIORITY_NORMAL);
    s->record.route = route->id;
    s->record.pool = route->pool->pool->id;
}

static enum end_reason refused_by_load(const struct session *s)
{
    struct worker *w = s->listener->worker;
    return overload_refuses(w, &w->overload, w->loop.now_ns, s->waiter.priority);
}

static void routed(struct session *s, enum tcp_route_result found, const struct route *route,
                   enum end_reason why)
{
    switch (found) {
    case TCP_ROUTE_FOUND:
        s->is_opening = false;
        loop_disarm(loop_of(s), &s->timer);
        if (s->routes->names) use_route(s, route);
        /* Of which class it is was not known when it was let in. */
        if (s->routes->names && (why = refused_by_load(s))) {
            give_up(s, why);
            return;
        }
        connect_next(s);
        return;
    case TCP_ROUTE_NONE: give_up(s, why); return;
    case TCP_ROUTE_WAIT:
        if (transport_wait(&s->tunnel.halves[TUNNEL_CLIENT].transport) < 0) give_up(s, END_NO_DESCRIPTORS);
        return;
    }
}

static void look_for_name(struct session *s)
{
    const struct route *route = NULL;
    enum end_reason why = END_NONE;
    enum tcp_route_result found = tcp_route_look(&s->tunnel.halves[TUNNEL_CLIENT].transport, s->routes,
                                                 &route, &why);
    routed(s, found, route, why);
}

/* TLS ends here. */
static void secured(struct session *s, const struct transport *t)
{
    const struct route *route = &s->routes->routes[0];
    enum end_reason why = END_NONE;
    enum tcp_route_result found = TCP_ROUTE_FOUND;
    s->tls = tls_facts_get(tls_conn_facts(t));
    flight_set_tls(&s->record, s->tls);
    if (s->routes->names) found = tcp_route_of_name(s->routes, slice_of(tls_conn_name(t)), &route, &why);
    routed(s, found, route, why);
}

static void open_client(struct session *s)
{
    struct transport *t = &s->tunnel.halves[TUNNEL_CLIENT].transport;
    switch (transport_open(t)) {
    case IO_OK: secured(s, t); return;
    case IO_AGAIN:
        if (transport_wait(t) < 0) give_up(s, END_NO_DESCRIPTORS);
        return;
    case IO_EOF:
    case IO_FAIL: give_up(s, t->fault ? (enum end_reason)t->fault : END_CLIENT_ABORT); return;
    }
}

/* Before there is a server only the client's end is of interest. */
static void on_client_ready(struct transport *t)
{
    struct session *s = container_of(t, struct session, tunnel.halves[TUNNEL_CLIENT].transport);
    if (s->is_opening && s->is_secure)
        open_client(s);
    else if (s->is_opening)
        look_for_name(s);
    else if (t->is_broken)
        give_up(s, END_CLIENT_RESET);
}

static void on_turn(struct pool_waiter *w)
{
    struct session *s = container_of(w, struct session, waiter);
    if (bug_if(TCP, !s->is_waiting || s->is_over)) return; /* the slot goes to the next */
    s->is_waiting = false;
    s->is_again = true;
    pool_view_put(s->view);
    s->view = s->attempt.view = pool_view_get(s->pool);
    s->tried_count = 0;
    connect_next(s);
}

static void on_displaced(struct pool_waiter *w)
{
    struct session *s = container_of(w, struct session, waiter);
    if (bug_if(TCP, !s->is_waiting || s->is_over)) return;
    s->is_waiting = false;
    give_up(s, END_QUEUE_FULL);
}

static void wait_in_queue(struct session *s)
{
    s->waiter.on_turn = on_turn;
    s->waiter.on_displaced = on_displaced;
    if (!pool_wait(s->pool, &s->waiter, s->is_again)) {
        give_up(s, END_QUEUE_FULL);
        return;
    }
    s->is_waiting = true;
    /* Who had his turn in vain goes on with the time that he was given. */
    if (!timer_is_armed(&s->timer))
        loop_arm(loop_of(s), &s->timer, s->view->set->roster->conf->timeouts.queue_ms);
    if (transport_wait(&s->tunnel.halves[TUNNEL_CLIENT].transport) < 0) give_up(s, END_NO_DESCRIPTORS);
}

enum try { TRY_GOES_ON, TRY_FAILED, TRY_FULL };

static enum try connect_to(struct session *s, struct server *server, enum balance_reason reason)
{
    struct worker *w = s->listener->worker;
    struct transport *t = &s->tunnel.halves[TUNNEL_SERVER].transport;
    if (bug_if(TCP, !transport_is_closed(t)))
        transport_close(t, false); /* the last one's: it would never be closed */
    if (bug_if(TCP, s->attempt.view != s->view)) s->attempt.view = s->view; /* the other may be freed */
    if (!descriptors_are_left(w)) {
        give_up(s, END_NO_DESCRIPTORS);
        return TRY_GOES_ON;
    }
    if (!attempt_enter(&s->attempt, server, reason)) return TRY_FULL;
    s->attempts++;
    s->is_again = false; /* his turn was not in vain: should it fail he waits as whoever comes does */
    s->record.picked_us = flight_us(s->start_ns, w->loop.now_ns);
    s->owes_header = s->view->set->roster->conf->proxy_protocol != PROXY_PROTOCOL_OFF;
    if (transport_connect(t, &w->loop, &server->address, NULL, on_server_ready) == 0) {
        enum end_reason refusal = upstream_is_secure(s->pool, NULL) && !s->owes_header
                                      ? upstream_secure(s->pool, server, NULL, NULL, t)
                                      : END_NONE;
        if (refusal) {
            give_up(s, refusal);
            return TRY_GOES_ON;
        }
        if (transport_wait(&s->tunnel.halves[TUNNEL_CLIENT].transport) < 0) {
            give_up(s, END_NO_DESCRIPTORS);
            return TRY_GOES_ON;
        }
        loop_arm(&w->loop, &s->timer, s->view->set->roster->conf->timeouts.connect_ms);
        return TRY_GOES_ON;
    }
    s->last = h1_client_connect_reason(t);
    attempt_end(&s->attempt, s->last);
    leave_server(s);
    return TRY_FAILED;
}

static uint32_t pick(struct session *s, enum balance_reason *reason)
{
    const struct peer_set *set = s->view->set;
    const struct server *offered = pool_offered(s->pool);
    for (uint32_t i = 0; offered && i < set->count; i++) {
        if (set->servers[i] != offered) continue;
        *reason = BALANCE_QUEUED;
        return i;
    }
    struct balance_choice choice = { .peer = BALANCE_NONE, .reason = BALANCE_ALL_TRIED };
    struct balance_query q = { .peers = set->peers,
                               .peer_count = set->count,
                               .tried = s->tried,
                               .tried_count = s->tried_count,
                               .hash = balance_hash(
                                   (struct slice){ (const char *)s->record.client.bytes, 16 }),
                               .now_ns = loop_of(s)->now_ns,
                               .rng = &loop_of(s)->rng };
    if (set->count) balance_pick(&s->view->balance, &q, &choice);
    *reason = choice.reason;
    return choice.peer;
}

/* All that the pool prefers are full: a later tier, another zone, or the queue. TRY_FULL: it waits there. */
static enum try overflow(struct session *s)
{
    struct server *spare = pool_offered(s->pool); /* of those on standby: the others were looked at */
    if (!spare && !s->has_overflown) spare = peer_set_overflow(s->view->set);
    enum try got = spare ? connect_to(s, spare, BALANCE_OVERFLOW) : TRY_FULL;
    if (got == TRY_FULL)
        wait_in_queue(s);
    else
        s->has_overflown = true; /* once: no set remembers that it failed */
    return got;
}

/* Who may be picked has changed: whom it tried before it may try again. */
static void renew_view(struct session *s)
{
    if (s->view->is_current || bug_if(TCP, attempt_is_in_hand(&s->attempt))) return;
    pool_view_put(s->view);
    s->view = s->attempt.view = pool_view_get(s->pool);
    s->tried_count = 0;
}

static void connect_next(struct session *s)
{
    if (bug_if(TCP, s->is_over || s->is_waiting || !s->view)) {
        give_up(s, END_INTERNAL);
        return;
    }
    uint32_t attempts_max = s->view->set->roster->conf->retry.how.attempts;
    bool is_full = false;
    renew_view(s);
    while (s->attempts < attempts_max && s->tried_count < TRIED_MAX) {
        enum balance_reason reason;
        uint32_t peer = pick(s, &reason);
        if (peer == BALANCE_NONE) {
            if (!is_full && reason != BALANCE_ALL_FULL) break;
            if (overflow(s) != TRY_FAILED) return;
            continue;
        }
        struct server *server = s->view->set->servers[peer];
        s->tried[s->tried_count++] = peer;
        enum try got = connect_to(s, server, reason);
        if (got == TRY_GOES_ON) return;
        if (got == TRY_FULL) is_full = true;
    }
    give_up(s, s->attempts ? s->last : END_NO_SERVER);
}

static void waited_in_vain(struct session *s)
{
    pool_waited_in_vain(s->pool);
    give_up(s, END_QUEUE_TIMEOUT);
}

static enum end_reason connect_timeout_of(const struct transport *t)
{
    return t->overdue ? (enum end_reason)t->overdue : END_CONNECT_TIMEOUT;
}

static void on_timer(struct timer *t)
{
    struct session *s = container_of(t, struct session, timer);
    if (s->is_opening)
        give_up(s, END_HEADER_TIMEOUT);
    else if (s->is_waiting)
        waited_in_vain(s);
    else
        attempt_failed(s, connect_timeout_of(&s->tunnel.halves[TUNNEL_SERVER].transport));
}

static void begin(struct session *s)
{
    struct worker *w = s->listener->worker;
    struct transport *client = &s->tunnel.halves[TUNNEL_CLIENT].transport;
    const struct listener_conf *conf = s->routes->conf;
    if (!conf->tls && !s->routes->names) {
        connect_next(s);
        return;
    }
    s->is_opening = true;
    s->is_secure = conf->tls != NULL;
    if (s->is_secure) s->record.flags |= FLIGHT_CLIENT_TLS;
    if (s->is_secure && tls_conn_accept(client, &w->tls, conf->tls->slot, NULL) < 0) {
        give_up(s, END_NO_MEMORY);
        return;
    }
    loop_arm(&w->loop, &s->timer, conf->timeouts.header_ms);
    if (s->is_secure)
        open_client(s);
    else
        look_for_name(s);
}

static void describe(struct session *s, const struct address *client)
{
    struct worker *w = s->listener->worker;
    struct flight_record *r = &s->record;
    flight_init(r);
    r->id = flight_next_id(w->flights);
    r->start_wall_ns = loop_wall_ns(&w->loop);
    r->flags = FLIGHT_TCP | FLIGHT_TUNNEL;
    r->client = s->client;
    r->client_port = address_port(client);
    r->listener = s->listener->listener->id;
    r->method = HTTP_OTHER;
}

void tcp_start(struct listener_worker *lw, int fd, const struct tcp_client *client, uint64_t id)
{
    struct worker *w = lw->worker;
    struct session *s = slab_get(&w->sessions);
    if (!s) {
        close(fd);
        overload_note(w, END_NO_MEMORY);
        metric_add(w->metrics, lw->listener->meter_ends[END_NO_MEMORY], 1);
        struct ip ip = address_ip(client->address);
        worker_client_closed(lw, &ip, client->is_counted);
        return;
    }
    struct tunnel_timeouts timeouts = { 0 };
    s->listener = lw;
    s->routes = lw->routes;
    s->client = address_ip(client->address);
    s->id = id;
    s->is_client_counted = client->is_counted;
    s->site = site_view_get(lw->view);
    s->start_ns = w->loop.now_ns;
    timer_init(&s->timer, on_timer);
    list_init(&s->waiter.link);
    describe(s, client->address);
    tunnel_init(&s->tunnel, &w->loop, &timeouts, on_end, s);
    use_route(s, &s->routes->routes[0]);
    /* Where there are several, none is its own yet. */
    if (s->routes->names) s->record.route = s->record.pool = FLIGHT_NO_ID;
    transport_init_accepted(&s->tunnel.halves[TUNNEL_CLIENT].transport, &w->loop, fd, client->is_local,
                            on_client_ready);
    list_push_back(&lw->tunnels, &s->tunnel.link);
    count_add(&w->live.tunnels, 1);
    begin(s);
}

/* Only what it needs for its record is kept; without memory for it, the configuration stays. */
void tcp_unpin(struct tunnel *t)
{
    struct session *s = container_of(t, struct session, tunnel);
    if (s->site || !s->view || s->view->is_current) return;
    s->addresses = calloc(FLIGHT_ATTEMPTS, sizeof(*s->addresses));
    if (!s->addresses) return;
    for (uint32_t i = 0; i < flight_kept_attempts(&s->record); i++) {
        const struct server *server = roster_server_by_id(s->view->set->roster, s->record.attempts[i].server);
        if (server) memcpy(s->addresses[i], server->address_text, ADDRESS_TEXT_MAX);
    }
    pool_view_put(s->view);
    s->view = s->attempt.view = NULL;
}

void tcp_reach(const struct tunnel *t, struct tcp_reach *out)
{
    const struct session *s = container_of(t, struct session, tunnel);
    *out = (struct tcp_reach){ .attempt = &s->attempt,
                               .pool = s->pool,
                               .view = s->view,
                               .site = s->site,
                               .has_timer = timer_is_armed(&s->timer),
                               .is_waiting = s->is_waiting,
                               .is_client_counted = s->is_client_counted };
}

size_t tcp_session_size(void)
{
    return sizeof(struct session);
}

/* An idle place is one that was never used, or whose session is over. */
bool tcp_salvage(const struct memory_view *m, uint64_t address, uint64_t worker, struct tcp_remains *out)
{
    struct session s;
    uint64_t owner = 0;
    if (!memory_read(m, address, &s, sizeof(s)) || s.is_over ||
        !memory_read_member(m, (uintptr_t)s.listener, struct listener_worker, worker, &owner) ||
        owner != worker)
        return false;
    out->state = s.is_waiting ? "queue" : s.record.connected_us == FLIGHT_NEVER ? "connect" : "tunnel";
    out->start_ns = s.start_ns;
    out->record = s.record;
    return true;
}
