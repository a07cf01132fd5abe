#include "proxy/udp_listener.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/count.h"
#include "net/udp_socket.h"
#include "proxy/accept.h"
#include "proxy/listener.h"
#include "proxy/proxy_conf.h"
#include "proxy/rate.h"
#include "proxy/rate_table.h"
#include "proxy/route_set.h"
#include "proxy/udp_conf.h"
#include "proxy/udp_session.h"
#include "proxy/udp_worker.h"

/* How many are ended in a turn for their silence. */
#define EXPIRES_A_TURN 256u
/* Whether its sessions on all workers are over. */
#define LOOK_MS 50u
/* What waits when it leaves is taken, but not for ever. */
#define LAST_BATCHES 2048u

static const struct udp_conf *conf_of(const struct udp_listener *u)
{
    return &u->lw->routes->conf->udp;
}

static struct loop *loop_of(const struct udp_listener *u)
{
    return &u->lw->worker->loop;
}

/* who may begin a session */

static bool is_over_rate(const struct udp_listener *u, const struct ip *client)
{
    const struct rate_limit *limit = u->lw->routes->rate;
    const struct worker *w = u->lw->worker;
    struct http_template_input in = { .client = client };
    struct rate_verdict v;
    return limit && rate_limit_take(limit, &in, w->loop.now_ns, w->metrics, &v) == RATE_REFUSED;
}

/* those that are over */

void udp_listener_unhold(struct udp_listener *u, struct udp_place *p)
{
    list_remove(&p->order);
    if (!bug_if(UDP, !u->held_count)) u->held_count--;
    count_less(UDP, &u->lw->worker->live.held_sessions);
    udp_session_let_go(udp_session_at(p));
}

bool udp_listener_yield_port(struct udp_listener *u)
{
    if (list_is_empty(&u->held)) return false;
    udp_listener_unhold(u, container_of(u->held.next, struct udp_place, order));
    return true;
}

bool udp_listener_hold(struct udp_listener *u, struct udp_place *p)
{
    if (u->stage != UDP_SERVES) return false;
    p->seen_ms = loop_now_ms(loop_of(u));
    list_push_back(&u->held, &p->order);
    count_add(&u->lw->worker->live.held_sessions, 1);
    if (++u->held_count > UDP_HELD_MAX) (void)udp_listener_yield_port(u);
    return true;
}

/* Whoever is silent for longest makes way, unless that is not long. */
static bool make_way(struct udp_listener *u)
{
    struct udp_place *oldest = udp_table_oldest(&u->table);
    if (!oldest || oldest->seen_ms + UDP_QUIET_MS > loop_now_ms(loop_of(u))) return false;
    udp_session_end(udp_session_at(oldest), END_DISPLACED);
    return true;
}

/* Whose port nobody answers to makes way; then whoever is silent for longest, unless that is not long. */
static bool make_way_for_port(struct udp_listener *u)
{
    return udp_listener_yield_port(u) || make_way(u);
}

/* Whoever is over first: nobody answers to what he has. */
static bool make_way_for(struct udp_listener *u, enum end_reason refused)
{
    switch (refused) {
    case END_CONNECTION_LIMIT: return make_way(u);
    case END_NO_DESCRIPTORS: return udp_listener_yield_port(u);
    default: return false;
    }
}

/* Of all listeners. That others may begin some at the same time makes a few more at most: it is far from the last port. */
static bool has_port(const struct udp_listener *u)
{
    struct proxy *p = u->lw->worker->proxy;
    return !p->udp_session_limit ||
           atomic_load_explicit(&p->udp_sessions, memory_order_relaxed) < p->udp_session_limit;
}

static enum end_reason admit(struct udp_listener *u, const struct ip *client, bool *is_counted)
{
    if (u->stage != UDP_SERVES) return END_DRAINED;
    enum end_reason refused = accept_admit(u->lw, client, is_counted);
    if (make_way_for(u, refused)) refused = accept_admit(u->lw, client, is_counted);
    if (refused) return refused;
    if (!has_port(u) && !make_way_for_port(u))
        refused = END_NO_PORTS;
    else if (is_over_rate(u, client))
        refused = END_RATE_LIMITED;
    if (refused) worker_client_closed(u->lw, client, *is_counted);
    return refused;
}

static struct udp_session *begin(struct udp_socket *k, const struct udp_slot *slot)
{
    struct udp_listener *u = k->udp;
    struct address client = udp_flow_address(&slot->flow);
    struct ip ip = address_ip(&client);
    bool is_counted = false;
    enum end_reason refused = admit(u, &ip, &is_counted);
    if (refused) {
        accept_refused(u->lw, &client, refused);
        return NULL;
    }
    metric_add(u->lw->worker->metrics, u->lw->listener->meter_accepted, 1);
    struct udp_session *s = udp_session_start(u, k, slot, is_counted);
    udp_listener_arm(u);
    return s;
}

/* taking */

/* Of one client, in a row. */
static uint32_t run_from(const struct udp_batch *b, uint32_t i, uint32_t count)
{
    uint32_t n = 1;
    while (i + n < count && udp_flow_equal(&b->slots[i + n].flow, &b->slots[i].flow)) n++;
    return n;
}

/* A session that is over before it has all of them is followed by another, once. */
static void serve_run(struct udp_socket *k, uint32_t i, uint32_t n)
{
    const struct udp_batch *b = k->udp->lw->worker->udp.in;
    struct udp_place *known = udp_table_find(&k->udp->table, &b->slots[i].flow);
    uint32_t done = known ? udp_session_pass(udp_session_at(known), i, n) : 0;
    if (done == n || bug_if(UDP, done > n)) return;
    struct udp_session *s = begin(k, &b->slots[i]);
    if (s) (void)udp_session_pass(s, i + done, n - done);
}

static void count_lost(struct udp_socket *k, struct udp_batch *b)
{
    const struct listener_worker *lw = k->udp->lw;
    if (!b->is_lost_said) return;
    b->is_lost_said = false;
    metric_add(lw->worker->metrics, lw->listener->udp.dropped[UDP_DROP_QUEUE], b->lost - k->lost);
    k->lost = b->lost;
}

/* IO_OK: more may wait. */
static enum io take_batch(struct udp_socket *k)
{
    struct listener_worker *lw = k->udp->lw;
    struct udp_batch *b = lw->worker->udp.in;
    uint32_t count, datagrams = 0, n;
    enum io io = udp_batch_receive(b, k->fd, 0, UDP_BATCH, &count);
    for (uint32_t i = 0; i < count; i++) datagrams += udp_slot_datagrams(&b->slots[i]);
    metric_add(lw->worker->metrics, lw->listener->udp.received, datagrams);
    count_lost(k, b);
    for (uint32_t i = 0; i < count; i += n) {
        n = run_from(b, i, count);
        serve_run(k, i, n);
    }
    return io;
}

static void take_waiting(struct udp_socket *k)
{
    for (uint32_t i = 0; i < UDP_TURN_DATAGRAMS / UDP_BATCH; i++)
        if (take_batch(k) != IO_OK) return;
    loop_defer(loop_of(k->udp), &k->more);
}

static void on_ready(struct loop_fd *f, uint32_t events)
{
    (void)events;
    take_waiting(container_of(f, struct udp_socket, io));
}

static void on_more(struct loop_task *t)
{
    take_waiting(container_of(t, struct udp_socket, more));
}

/* sockets */

static void bury(struct loop_grave *g)
{
    free(container_of(g, struct udp_socket, grave));
}

/* It sends, and takes nothing any more. By name, as others have the same socket. */
static void silence(struct udp_socket *k)
{
    loop_cancel(&k->more);
    if (k->io.fd >= 0) loop_fd_forget(loop_of(k->udp), &k->io);
}

static void close_sockets(struct udp_listener *u)
{
    struct udp_worker *shared = &u->lw->worker->udp;
    for (struct udp_socket *k = u->sockets, *next; k; k = next) {
        next = k->next;
        silence(k);
        if (shared->out_at == k) {
            udp_worker_flush(shared);
            shared->out_at = NULL;
        }
        close(k->fd);
        k->fd = -1;
        loop_bury(loop_of(u), &k->grave, bury);
    }
    u->sockets = NULL;
}

static int add_socket(struct udp_listener *u, int fd, struct err *err)
{
    struct udp_socket *k = calloc(1, sizeof(*k));
    const struct listener_conf *conf = u->lw->routes->conf;
    if (!k) {
        close(fd);
        return err_set(err, "listener \"%s\": out of memory for a socket", conf->name);
    }
    udp_socket_prepare(fd, &conf->bind, conf->udp.buffer_bytes);
    *k = (struct udp_socket){
        .io = { .fd = fd, .on_ready = on_ready }, .fd = fd, .udp = u, .lost = udp_socket_lost(fd)
    };
    loop_task_init(&k->more, on_more);
    if (loop_fd_register(loop_of(u), &k->io, EPOLLIN) < 0) {
        close(fd);
        free(k);
        return err_set(err, "listener \"%s\": cannot watch its socket", conf->name);
    }
    k->next = u->sockets;
    u->sockets = k;
    return 0;
}

/* silence */

static uint64_t idle_ms(const struct udp_listener *u)
{
    uint64_t idle = conf_of(u)->idle_ms;
    return u->stage == UDP_MUTE && idle > UDP_MUTE_MS ? UDP_MUTE_MS : idle;
}

void udp_listener_arm(struct udp_listener *u)
{
    const struct udp_place *oldest = udp_table_oldest(&u->table);
    uint64_t now_ms = loop_now_ms(loop_of(u)), wait_ms = LOOK_MS;
    bool is_closing = u->stage == UDP_LEAVES && u->lw->worker->is_draining && u->sockets;
    const struct udp_place *held = list_is_empty(&u->held)
                                       ? NULL
                                       : container_of(u->held.next, struct udp_place, order);
    if (!oldest || (held && held->seen_ms < oldest->seen_ms)) oldest = held;
    if (!oldest && !is_closing) {
        loop_disarm(loop_of(u), &u->sweep);
        return;
    }
    if (oldest && !is_closing) {
        uint64_t due_ms = oldest->seen_ms + idle_ms(u);
        wait_ms = due_ms > now_ms ? due_ms - now_ms : 1;
    }
    if (!timer_is_armed(&u->sweep) || is_closing) loop_arm(loop_of(u), &u->sweep, wait_ms);
}

static void on_sweep(struct timer *t)
{
    struct udp_listener *u = container_of(t, struct udp_listener, sweep);
    uint64_t now_ms = loop_now_ms(loop_of(u)), idle = idle_ms(u);
    struct udp_place *oldest;
    for (uint32_t i = 0; i < EXPIRES_A_TURN && (oldest = udp_table_oldest(&u->table)); i++) {
        if (oldest->seen_ms + idle > now_ms) break;
        udp_session_expire(udp_session_at(oldest));
    }
    for (uint32_t i = 0; i < EXPIRES_A_TURN && !list_is_empty(&u->held); i++) {
        struct udp_place *held = container_of(u->held.next, struct udp_place, order);
        if (held->seen_ms + idle > now_ms) break;
        udp_listener_unhold(u, held);
    }
    /* The process ends: nobody needs the port any more, and clients are told so by ICMP. */
    if (u->stage == UDP_LEAVES && u->lw->worker->is_draining && !atomic_load(&u->lw->listener->connections))
        close_sockets(u);
    udp_listener_arm(u);
}

/* all of it */

int udp_listener_open(struct listener_worker *lw, int fd, struct err *err)
{
    struct worker *w = lw->worker;
    struct udp_listener *u = lw->udp;
    if (!u) {
        u = calloc(1, sizeof(*u));
        if (!u || udp_worker_prepare(&w->udp, err) < 0 ||
            !udp_table_init(&u->table, lw->routes->conf->udp.sessions, rng_next(&w->loop.rng))) {
            free(u);
            close(fd);
            return err_set(err, "listener \"%s\": out of memory for its sessions", lw->listener->name);
        }
        u->lw = lw;
        list_init(&u->held);
        timer_init(&u->sweep, on_sweep);
        lw->udp = u;
    }
    return add_socket(u, fd, err);
}

static void arm_anew(struct udp_listener *u)
{
    loop_disarm(loop_of(u), &u->sweep); /* it may be due earlier now */
    udp_listener_arm(u);
}

void udp_listener_use(struct udp_listener *u)
{
    const struct listener_conf *conf = u->lw->routes->conf;
    udp_table_fit(&u->table, conf->udp.sessions);
    for (struct udp_socket *k = u->sockets; k; k = k->next)
        udp_socket_prepare(k->fd, &conf->bind, conf->udp.buffer_bytes);
    arm_anew(u);
}

void udp_listener_leave(struct udp_listener *u, bool is_taken_elsewhere)
{
    if (u->stage == UDP_SERVES && !is_taken_elsewhere) {
        for (struct udp_socket *k = u->sockets; k; k = k->next)
            for (uint32_t i = 0; i < LAST_BATCHES && take_batch(k) == IO_OK; i++) continue;
    }
    if (u->stage != UDP_MUTE) u->stage = is_taken_elsewhere ? UDP_MUTE : UDP_LEAVES;
    if (u->stage == UDP_MUTE)
        for (struct udp_socket *k = u->sockets; k; k = k->next) silence(k);
    while (udp_listener_yield_port(u)) continue;
    arm_anew(u);
}

void udp_listener_unpin(struct udp_listener *u)
{
    for (struct list *at = u->table.order.next; at != &u->table.order; at = at->next)
        udp_session_unpin(udp_session_at(container_of(at, struct udp_place, order)));
}

void udp_listener_kill(struct udp_listener *u, enum end_reason reason)
{
    struct udp_place *oldest;
    while ((oldest = udp_table_oldest(&u->table))) udp_session_end(udp_session_at(oldest), reason);
    while (udp_listener_yield_port(u)) continue;
    close_sockets(u);
    loop_disarm(loop_of(u), &u->sweep);
}

void udp_listener_free(struct udp_listener *u)
{
    if (!u) return;
    udp_table_fini(&u->table);
    free(u);
}
