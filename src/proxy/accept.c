#include "proxy/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/count.h"
#include "base/log.h"
#include "proxy/exchange.h"
#include "proxy/tcp.h"

/* How many are taken before others have their turn. */
#define ACCEPTS_A_TURN 64
#define AGAIN_AFTER_MS 100

static struct log_limit *shed_limit(void)
{
    static _Thread_local struct log_limit limit;
    return &limit;
}

static void shed(struct listener_worker *lw, int fd, enum end_reason reason)
{
    struct worker *w = lw->worker;
    uint32_t suppressed = 0;
    if (fd >= 0) close(fd);
    metric_add(w->metrics, lw->listener->meter_refused[reason], 1);
    if (!log_limit_pass(shed_limit(), w->loop.now_ns, 1, &suppressed)) return;
    log_event(LOG_WARN, "connection_refused", "listener=%s reason=%s suppressed=%u", lw->listener->name,
              end_reason_info(reason)->name, suppressed);
}

void worker_client_closed(struct listener_worker *lw, const struct ip *client)
{
    struct proxy *p = lw->worker->proxy;
    const struct gate_conf *local = lw->listener->conf->gate;
    const struct gate_conf *global = p->conf->gate;
    bool is_counted = (local && local->connections_per_client) || (global && global->connections_per_client);
    if (is_counted) {
        struct ip key = ip_client(client);
        client_table_leave(p->clients, &key);
    }
    atomic_fetch_sub_explicit(&lw->listener->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&p->connections, 1, memory_order_relaxed);
    count_add(&lw->worker->live.client_connections, -1);
}

static uint32_t smaller_limit(uint32_t a, uint32_t b)
{
    if (!a || !b) return a ? a : b;
    return a < b ? a : b;
}

/* Whether one more may come: counted if so, for worker_client_closed() to count back. */
static enum end_reason admit(struct listener_worker *lw, const struct ip *client)
{
    struct listener *l = lw->listener;
    struct proxy *p = l->proxy;
    const struct gate_conf *global = p->conf->gate;
    const struct gate_conf *local = l->conf->gate;
    if (p->gate && gate_check(p->gate, client) != GATE_PASS) return END_GATE_DENIED;
    if (l->gate && gate_check(l->gate, client) != GATE_PASS) return END_GATE_DENIED;
    if (denials_have(p->denials, client)) return END_GATE_DENIED;
    if (budget_is_tight(&p->budget)) return END_NO_MEMORY;
    uint32_t all = atomic_fetch_add_explicit(&p->connections, 1, memory_order_relaxed);
    uint32_t here = atomic_fetch_add_explicit(&l->connections, 1, memory_order_relaxed);
    enum end_reason refused = END_NONE;
    if (all >= p->connection_limit || (global && global->connections && all >= global->connections) ||
        (local && local->connections && here >= local->connections))
        refused = END_CONNECTION_LIMIT;
    uint32_t each = smaller_limit(local ? local->connections_per_client : 0,
                                  global ? global->connections_per_client : 0);
    struct ip key = ip_client(client);
    if (!refused && each && !client_table_enter(p->clients, &key, each)) refused = END_CLIENT_CONNECTIONS;
    if (!refused) {
        count_add(&lw->worker->live.client_connections, 1);
        return END_NONE;
    }
    atomic_fetch_sub_explicit(&p->connections, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
    return refused;
}

static void bury_client(struct loop_grave *g)
{
    struct h1_conn *conn = container_of(g, struct h1_conn, grave);
    struct h1_server *c = container_of(conn, struct h1_server, conn);
    struct listener_worker *lw = container_of(c->service, struct listener_worker, service);
    slab_put(&lw->worker->clients, c);
}

static void on_client_closed(struct http_service *service, struct h1_server *c)
{
    struct listener_worker *lw = container_of(service, struct listener_worker, service);
    if (!c->conn.is_detached) worker_client_closed(lw, &c->client.ip);
    loop_bury(&lw->worker->loop, &c->conn.grave, bury_client);
}

static void start(struct listener_worker *lw, int fd, const struct address *client)
{
    struct worker *w = lw->worker;
    struct ip ip = address_ip(client);
    enum end_reason refused = admit(lw, &ip);
    if (refused) {
        shed(lw, fd, refused);
        return;
    }
    metric_add(w->metrics, lw->listener->meter_accepted, 1);
    uint64_t id = w->next_connection_id++ * w->proxy->worker_count + w->index + 1;
    if (lw->listener->conf->protocol == LISTENER_TCP) {
        tcp_start(lw, fd, client, id);
        return;
    }
    struct h1_server *c = slab_get(&w->clients);
    if (!c) {
        worker_client_closed(lw, &ip);
        shed(lw, fd, END_NO_MEMORY);
        return;
    }
    h1_server_start(c, &lw->service, &w->loop, fd, client, id, &lw->connections);
}

/* Out of descriptors: the connection cannot be taken, and left alone it would wake the loop for ever. The spare
 * descriptor is given up for a moment, to take the connection and close it. False if none waits. */
static bool shed_without_descriptor(struct listener_worker *lw)
{
    struct worker *w = lw->worker;
    if (w->spare_fd >= 0) close(w->spare_fd);
    int fd = accept4(lw->accept.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    bool is_empty = fd < 0 && errno == EAGAIN; /* without descriptors the kernel does not even look */
    if (!is_empty) shed(lw, fd, END_NO_DESCRIPTORS);
    w->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return !is_empty;
}

static bool accept_one(struct listener_worker *lw)
{
    struct address client = { .len = sizeof(client.sa) };
    int fd = accept4(lw->accept.fd, &client.sa.any, &client.len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        start(lw, fd, &client);
        return true;
    }
    switch (errno) {
    case EAGAIN: return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        if (!shed_without_descriptor(lw)) return false;
        if (lw->worker->spare_fd < 0) {
            /* Not even that one came back: try again when some connection may have ended. */
            loop_arm(&lw->worker->loop, &lw->accept_again, AGAIN_AFTER_MS);
            return false;
        }
        return true;
    default: /* the connection died in the backlog: accept(2) names a dozen errors for it */ return true;
    }
}

static void take_waiting(struct listener_worker *lw)
{
    if (lw->is_closed) return;
    for (int i = 0; i < ACCEPTS_A_TURN; i++)
        if (!accept_one(lw)) return;
    loop_defer(&lw->worker->loop, &lw->accept_more);
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    take_waiting(container_of(f, struct listener_worker, accept));
}

static void on_more(struct loop_task *t)
{
    take_waiting(container_of(t, struct listener_worker, accept_more));
}

static void on_again(struct timer *t)
{
    take_waiting(container_of(t, struct listener_worker, accept_again));
}

int accept_open(struct listener_worker *lw, struct worker *w, struct listener *l, struct err *err)
{
    lw->worker = w;
    lw->listener = l;
    lw->accept = (struct loop_fd){ .fd = l->fds[w->index], .on_ready = on_ready };
    l->fds[w->index] = -1;
    list_init(&lw->connections);
    list_init(&lw->tunnels);
    loop_task_init(&lw->accept_more, on_more);
    timer_init(&lw->accept_again, on_again);
    lw->service = (struct http_service){
        .on_request = exchange_on_request,
        .on_fault = exchange_on_fault,
        .on_closed = on_client_closed,
        .limits = { .head_max = (uint32_t)l->conf->limits.head_bytes, .field_max = l->conf->limits.headers },
        .header_timeout_ms = l->conf->timeouts.header_ms,
        .keep_alive_timeout_ms = l->conf->timeouts.keep_alive_ms,
        .write_timeout_ms = l->conf->timeouts.write_ms,
    };
    if (loop_fd_register(&w->loop, &lw->accept, EPOLLIN) < 0)
        return err_set(err, "listener \"%s\": cannot watch its socket: errno %d", l->name, errno);
    return 0;
}

void accept_close(struct listener_worker *lw)
{
    if (lw->is_closed) return;
    while (accept_one(lw)) {}
    lw->is_closed = true;
    loop_cancel(&lw->accept_more);
    loop_disarm(&lw->worker->loop, &lw->accept_again);
    loop_fd_close(&lw->worker->loop, &lw->accept);
}
