#include "proxy/accept.h"

#include <unistd.h>

#include "base/bug.h"
#include "base/count.h"
#include "base/log.h"
#include "proxy/client_table.h"
#include "proxy/denials.h"
#include "proxy/descriptors.h"
#include "proxy/exchange.h"
#include "proxy/hand_over.h"
#include "proxy/introduction.h"
#include "proxy/listener.h"
#include "proxy/proxy_conf.h"
#include "proxy/route_set.h"
#include "proxy/shed.h"
#include "proxy/site.h"
#include "proxy/tcp.h"
#include "proxy/udp_listener.h"
#include "route/gate.h"
#include "tls/conn.h"

/* How many are taken before others have their turn. */
#define ACCEPTS_A_TURN 64u

static struct log_limit *shed_limit(void)
{
    static _Thread_local struct log_limit limit;
    return &limit;
}

static struct log_limit *unopened_limit(void)
{
    static _Thread_local struct log_limit limit;
    return &limit;
}

static struct log_limit *introduction_limit(void)
{
    static _Thread_local struct log_limit limit;
    return &limit;
}

void accept_refused(struct listener_worker *lw, const struct address *client, enum end_reason reason)
{
    char from[ADDRESS_TEXT_MAX];
    struct worker *w = lw->worker;
    uint32_t suppressed = 0;
    metric_add(w->metrics, lw->listener->meter_refused[reason], 1);
    overload_note(w, reason);
    if (!log_limit_pass(shed_limit(), w->loop.now_ns, 1, &suppressed)) return;
    log_event(LOG_WARN, "connection_refused", "listener=%s client=%s reason=%s suppressed=%u",
              lw->listener->name, address_print(client, from), end_reason_info(reason)->name, suppressed);
}

/* One more of all workers', whoever serves it; false: there are as many as may be. */
static bool take(struct listener_worker *lw, uint32_t limit, uint32_t limit_here)
{
    struct proxy *p = lw->worker->proxy;
    count_own(&lw->opened);
    count_own(&lw->worker->connections_opened);
    uint32_t all = atomic_fetch_add_explicit(&p->connections, 1, memory_order_release);
    uint32_t here = atomic_fetch_add_explicit(&lw->listener->connections, 1, memory_order_release);
    return all < limit && here < limit_here;
}

static void give_back(struct listener_worker *lw)
{
    count_own(&lw->closed);
    count_own(&lw->worker->connections_closed);
    count_less_shared(WORKER, &lw->listener->connections);
    count_less_shared(WORKER, &lw->worker->proxy->connections);
}

bool accept_depart(struct listener_worker *lw)
{
    if (take(lw, lw->worker->proxy->connection_limit, UINT32_MAX)) {
        lw->departed++;
        return true;
    }
    give_back(lw);
    return false;
}

void accept_arrived(struct listener_worker *lw)
{
    lw->arrived++;
    give_back(lw);
}

void worker_client_closed(struct listener_worker *lw, const struct ip *client, bool is_counted)
{
    if (is_counted) {
        struct ip key = ip_client(client);
        client_table_leave(lw->worker->proxy->clients, &key);
        count_less(WORKER, &lw->worker->counted_clients);
    }
    give_back(lw);
    count_less(WORKER, &lw->worker->live.client_connections);
}

static uint32_t smaller_limit(uint32_t a, uint32_t b)
{
    if (!a || !b) return a ? a : b;
    return a < b ? a : b;
}

/* Counted if there is room for it, for worker_client_closed() to count back. */
static bool enter(struct listener_worker *lw, uint32_t limit, uint32_t limit_here)
{
    bool has_room = take(lw, limit, limit_here);
    count_add(&lw->worker->live.client_connections, 1);
    if (has_room) return true;
    worker_client_closed(lw, NULL, false);
    return false;
}

/* Of one listener, all workers together; a session of datagrams is a connection here. */
static uint32_t limit_of(const struct listener_conf *conf)
{
    uint32_t gate = conf->gate ? conf->gate->connections : 0;
    uint32_t limit = smaller_limit(gate, conf->protocol == LISTENER_UDP ? conf->udp.sessions : 0);
    return limit ? limit : UINT32_MAX;
}

/* Of those who may come over it the highest counts. */
static uint32_t priority_of(const struct route_set *routes)
{
    bool is_one = routes->conf->protocol != LISTENER_HTTP && !routes->names;
    const struct route_conf *conf = is_one ? routes->routes[0].conf : NULL;
    if (!is_one) return OVERLOAD_ANY_PRIORITY;
    return conf ? conf->priority : POOL_PRIORITY_NORMAL;
}

enum end_reason accept_admit(struct listener_worker *lw, const struct ip *client, bool *is_counted)
{
    struct proxy *p = lw->worker->proxy;
    const struct route_set *routes = lw->routes;
    const struct gate_conf *global = routes->site->conf->gate, *local = routes->conf->gate;
    if (routes->site->gate && !gate_slot_passes(routes->site->gate, client)) return END_GATE_DENIED;
    if (routes->gate && !gate_slot_passes(routes->gate, client)) return END_GATE_DENIED;
    if (denials_have(p->denials, client)) return END_GATE_DENIED;
    if (block_pool_is_short(&lw->worker->loop.blocks)) {
        worker_ask_for_memory(lw->worker);
        shed_ask(lw->worker);
        return END_NO_MEMORY;
    }
    struct worker *w = lw->worker;
    if (block_pool_is_filling(&w->loop.blocks)) shed_ask_soon(w);
    enum end_reason refused = overload_refuses(w, &w->overload, w->loop.now_ns, priority_of(routes));
    if (refused) return refused;
    if (!descriptors_are_left(w)) return END_NO_DESCRIPTORS;
    uint32_t limit = smaller_limit(p->connection_limit, global ? global->connections : 0);
    if (!enter(lw, limit, limit_of(routes->conf))) return END_CONNECTION_LIMIT;
    uint32_t each = smaller_limit(local ? local->connections_per_client : 0,
                                  global ? global->connections_per_client : 0);
    struct ip key = ip_client(client);
    *is_counted = each != 0;
    if (!*is_counted) return END_NONE;
    if (client_table_enter(p->clients, &key, each)) {
        count_add(&lw->worker->counted_clients, 1);
        return END_NONE;
    }
    worker_client_closed(lw, NULL, false);
    return END_CLIENT_CONNECTIONS;
}

static void bury_client(struct loop_grave *g)
{
    struct http_conn *c = container_of(g, struct http_conn, grave);
    struct listener_worker *lw = container_of(c->service, struct listener_worker, service);
    if (bug_if(HTTP_CONN,
               timer_is_armed(&c->timer) || !list_is_empty(&c->link))) { /* somebody would find it there */
        loop_disarm(&lw->worker->loop, &c->timer);
        list_remove(&c->link);
    }
    slab_put(&lw->worker->clients, c);
}

/* It had no exchange that would tell of it. */
static void count_failed(struct listener_worker *lw, const struct http_conn *c)
{
    char from[INET6_ADDRSTRLEN], quoted[256];
    enum end_reason reason = (enum end_reason)c->end;
    struct worker *w = lw->worker;
    uint32_t suppressed = 0;
    metric_add(w->metrics, lw->listener->meter_ends[reason], 1);
    if (!log_limit_pass(unopened_limit(), w->loop.now_ns, 1, &suppressed)) return;
    const char *words = c->transport.fault_words ? c->transport.fault_words : end_reason_info(reason)->means;
    bool was_open = c->client.version == HTTP_VERSION_2 || c->client.requests;
    const char *event = was_open ? "connection_ended" : "connection_unopened";
    log_event(LOG_WARN, event, "listener=%s client=%s reason=%s detail=%s suppressed=%u", lw->listener->name,
              ip_print(&c->client.ip, from), end_reason_info(reason)->name,
              log_quote(words, quoted, sizeof(quoted)), suppressed);
}

static void on_client_closed(struct http_service *service, struct http_conn *c)
{
    struct listener_worker *lw = container_of(service, struct listener_worker, service);
    if (c->end) count_failed(lw, c);
    if (c->end == END_NO_MEMORY) shed_ask(lw->worker);
    overload_note(lw->worker, (enum end_reason)c->end);
    if (!c->is_detached) worker_client_closed(lw, &c->client.ip, c->client.is_counted);
    loop_bury(&lw->worker->loop, &c->grave, bury_client);
}

static void on_short(struct http_service *service, bool is_refused)
{
    struct worker *w = container_of(service, struct listener_worker, service)->worker;
    if (!is_refused) {
        shed_ask_soon(w);
        return;
    }
    worker_ask_for_memory(w);
    shed_ask(w);
}

static bool is_http2(const struct http_conn *c)
{
    return c->client.is_secure && slice_equal(tls_conn_alpn(&c->transport), SLICE("h2"));
}

/* TLS is open; or it was plain HTTP that came, which is told so in its own words. */
static void begin_secure(struct http_conn *c)
{
    c->client.is_secure = tls_conn_is(&c->transport);
    if (c->client.is_secure)
        c->client.tls = tls_conn_facts(&c->transport);
    else
        c->client.refusal = c->transport.fault;
    /* Neither: it would be served in the clear. */
    if (bug_if(WORKER, !c->client.is_secure && c->client.refusal == END_NONE))
        c->client.refusal = END_INTERNAL;
    if (is_http2(c))
        h2_server_begin(c);
    else
        h1_server_begin(c);
}

static const char *alpn_of(const struct listener_worker *lw)
{
    return lw->service.h2 ? H2_SERVER_ALPN TLS_CONN_HTTP_1_1 : TLS_CONN_HTTP_1_1;
}

void accept_introduced(struct listener_worker *lw, int fd, const struct address *client, bool is_local)
{
    struct worker *w = lw->worker;
    struct ip ip = address_ip(client);
    bool is_counted;
    enum end_reason refused = accept_admit(lw, &ip, &is_counted);
    if (refused) {
        close(fd);
        accept_refused(lw, client, refused);
        return;
    }
    metric_add(w->metrics, lw->listener->meter_accepted, 1);
    uint64_t id = worker_next_connection(w);
    if (lw->routes->conf->protocol == LISTENER_TCP) {
        tcp_start(lw, fd, &(struct tcp_client){ client, is_local, is_counted }, id);
        return;
    }
    struct h1_server *c = slab_get(&w->clients);
    if (!c) {
        worker_client_closed(lw, &ip, is_counted);
        close(fd);
        accept_refused(lw, client, END_NO_MEMORY);
        return;
    }
    http_conn_init(&c->http, &lw->service, &w->loop, fd, client, id, &lw->connections);
    if (is_local) c->http.transport.ops = &transport_local_ops; /* whoever its client is */
    c->http.client.is_counted = is_counted;
    const struct tls_conf *tls = lw->routes->conf->tls;
    if (tls && tls_conn_accept(&c->http.transport, &w->tls, tls->slot, alpn_of(lw)) < 0) {
        http_conn_kill(&c->http, END_NO_MEMORY);
        return;
    }
    http_conn_open(&c->http,
                   tls ? begin_secure : h1_server_begin); /* its first request may have come with it */
}

void accept_failed(struct listener_worker *lw, const struct address *peer, enum end_reason reason,
                   const char *detail)
{
    char from[ADDRESS_TEXT_MAX], quoted[256];
    uint32_t suppressed = 0;
    metric_add(lw->worker->metrics, lw->listener->meter_ends[reason], 1);
    if (!log_limit_pass(introduction_limit(), lw->worker->loop.now_ns, 1, &suppressed)) return;
    log_event(LOG_WARN, "connection_unopened", "listener=%s client=%s reason=%s detail=%s suppressed=%u",
              lw->listener->name, address_print(peer, from), end_reason_info(reason)->name,
              log_quote(detail ? detail : end_reason_info(reason)->means, quoted, sizeof(quoted)),
              suppressed);
}

static bool is_among(const struct conf_items *blocks, const struct address *peer)
{
    const struct cidr *c = blocks->data;
    struct ip ip = address_ip(peer);
    for (uint32_t i = 0; i < blocks->count; i++)
        if (cidr_contains(&c[i], &ip)) return true;
    return false;
}

void accept_here(struct listener_worker *lw, int fd, const struct address *peer)
{
    const struct listener_introduction *by = lw->routes->conf->proxy_protocol;
    bool is_introduced = by && is_among(&by->from, peer);
    if (!is_introduced && (!by || by->others == OTHERS_SERVE)) {
        accept_introduced(lw, fd, peer, peer->sa.any.sa_family == AF_UNIX);
    } else if (!is_introduced) {
        close(fd);
        accept_refused(lw, peer, END_GATE_DENIED);
    } else if (!enter(lw, lw->worker->proxy->connection_limit, UINT32_MAX)) {
        close(fd);
        accept_refused(lw, peer, END_CONNECTION_LIMIT);
    } else {
        introduction_start(lw, fd, peer);
    }
}

static void on_connection(struct acceptor *a, int fd, const struct address *peer)
{
    struct listener_worker *lw = a->use.owner;
    if (!hand_over_begin(lw, fd)) accept_here(lw, fd, peer);
}

static void on_shed(struct acceptor *a, const struct address *client)
{
    accept_refused(a->use.owner, client, END_NO_DESCRIPTORS);
}

void accept_use(struct listener_worker *lw)
{
    const struct listener_conf *conf = lw->routes->conf;
    if (lw->udp) udp_listener_use(lw->udp);
    lw->service.on_request = exchange_on_request;
    lw->service.on_fault = exchange_on_fault;
    lw->service.on_closed = on_client_closed;
    lw->service.on_short = on_short;
    lw->service.h1 = &lw->worker->h1;
    lw->service.limits = (struct h1_limits){ .head_max = (uint32_t)conf->limits.head_bytes,
                                             .field_max = conf->limits.headers };
    const struct listener_http2 *http2 = &conf->http2;
    lw->service.h2 = http2->enabled ? &lw->worker->h2 : NULL;
    lw->service.h2_limits = (struct h2_limits){ .streams = http2->streams,
                                                .window_bytes = (uint32_t)http2->window_bytes,
                                                .memory_bytes = (uint32_t)http2->memory_bytes,
                                                .continuations = http2->continuations,
                                                .allows_tunnels = http2->websockets,
#define X(id, key, reason) .floods[H2_FLOOD_##id] = http2->key,
                                                H2_FLOODS(X)
#undef X
    };
    lw->service.header_timeout_ms = conf->timeouts.header_ms;
    lw->service.keep_alive_timeout_ms = conf->timeouts.keep_alive_ms;
    lw->service.write_timeout_ms = conf->timeouts.write_ms;
}

int accept_open(struct listener_worker *lw, int fd, struct err *err)
{
    if (lw->routes->conf->protocol == LISTENER_UDP) return udp_listener_open(lw, fd, err);
    struct acceptor_use use = { .owner = lw,
                                .on_connection = on_connection,
                                .on_shed = on_shed,
                                .burst = ACCEPTS_A_TURN,
                                .name = lw->listener->name };
    int result = acceptor_is_open(&lw->acceptor)
                     ? acceptor_add(&lw->acceptor, fd, err)
                     : acceptor_open(&lw->acceptor, &lw->worker->loop, fd, &use, &lw->worker->spare, err);
    if (result < 0) return err_prefix(err, "listener \"%s\"", lw->listener->name);
    return 0;
}

void accept_close(struct listener_worker *lw, bool is_back)
{
    acceptor_close(&lw->acceptor);
    if (lw->udp && !is_back) udp_listener_kill(lw->udp, END_DRAINED);
}
