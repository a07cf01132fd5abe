#include "proxy/udp_session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/count.h"
#include "net/udp_socket.h"
#include "proxy/attempt.h"
#include "proxy/listener.h"
#include "proxy/record.h"
#include "proxy/route_set.h"
#include "proxy/tcp.h"
#include "proxy/udp_conf.h"
#include "proxy/udp_worker.h"
#include "record/flight_ring.h"

#define TRIED_MAX 16
/* Of a server that has sent so many they may come several as one. */
#define JOIN_AFTER 32u

struct udp_session {
    struct udp_place place; /* first */
    struct loop_fd server;  /* its socket; fd -1: none */
    struct loop_task more;  /* more may wait there */
    struct udp_listener *udp;
    struct udp_socket *at; /* where its client's first datagram came, and the answers go */
    struct pool_worker *pool;
    struct pool_view *view;              /* NULL: it has let go of its configuration */
    char (*addresses)[ADDRESS_TEXT_MAX]; /* of its attempts' servers, once there is no view to ask; malloc */
    struct attempt attempt;
    struct ip client;
    uint64_t id, start_ns;
    uint64_t datagrams_in, datagrams_out;
    uint64_t awaited; /* answers that are due, where it is known how many come */
    uint32_t tried[TRIED_MAX];
    uint32_t tried_count, attempts;
    enum end_reason last;
    bool has_overflown, is_over, is_client_counted;
    bool is_joined;   /* UDP_GRO is set */
    bool was_healthy; /* its server, when it began */
    uint16_t kept;    /* bytes of the only datagram so far, unanswered; 0: it cannot go once more */
    char first[UDP_KEPT_BYTES];
    struct loop_grave grave;
    struct flight_record record;
};

static struct worker *worker_of(const struct udp_session *s)
{
    return s->udp->lw->worker;
}

static struct loop *loop_of(const struct udp_session *s)
{
    return &worker_of(s)->loop;
}

static const struct udp_conf *conf_of(const struct udp_session *s)
{
    return &s->udp->lw->routes->conf->udp;
}

size_t udp_session_size(void)
{
    return sizeof(struct udp_session);
}

/* its end */

static void bury(struct loop_grave *g)
{
    struct udp_session *s = container_of(g, struct udp_session, grave);
    bool is_seen = !list_is_empty(&s->place.order) || !list_is_empty(&s->more.link);
    /* Leaked rather than freed under somebody. */
    if (bug_if(UDP, !s->is_over || is_seen || s->server.fd >= 0 || s->attempt.server)) return;
    free(s->addresses);
    slab_put(&worker_of(s)->udp.sessions, s);
}

static void write_record(struct udp_session *s)
{
    struct flight_record *r = &s->record;
    const char *kept[FLIGHT_ATTEMPTS] = { NULL };
    for (unsigned i = 0; s->addresses && i < FLIGHT_ATTEMPTS; i++)
        kept[i] = s->addresses[i][0] ? s->addresses[i] : NULL;
    flight_set_datagrams(r, s->datagrams_in, s->datagrams_out);
    struct record_places places = { s->pool->pool, s->view ? s->view->set->roster : NULL, kept };
    record_tunnel(worker_of(s), s->udp->lw, &places, r, s->id, NULL);
}

static void leave_server(struct udp_session *s)
{
    struct loop *l = loop_of(s);
    loop_cancel(&s->more);
    if (s->server.fd >= 0) loop_fd_close(l, &s->server);
    attempt_leave(&s->attempt);
}

/* All but its socket. */
static void conclude(struct udp_session *s, enum end_reason reason)
{
    struct worker *w = worker_of(s);
    s->is_over = true;
    attempt_end(&s->attempt, reason);
    attempt_leave(&s->attempt);
    loop_cancel(&s->more);
    udp_table_remove(&s->udp->table, &s->place);
    count_less(UDP, &w->live.tunnels);
    worker_client_closed(s->udp->lw, &s->client, s->is_client_counted);
    s->record.end = (uint8_t)reason;
    s->record.total_us = (w->loop.now_ns - s->start_ns) / 1000;
    overload_note(w, reason);
    w->recorded++;
    write_record(s);
    if (s->view) pool_view_put(s->view);
    s->view = NULL;
}

void udp_session_let_go(struct udp_session *s)
{
    struct worker *w = worker_of(s);
    if (bug_if(UDP, !s->is_over)) return;
    loop_cancel(&s->more);
    if (s->server.fd >= 0) loop_fd_close(&w->loop, &s->server);
    count_less_shared(UDP, &w->proxy->udp_sessions);
    loop_bury(&w->loop, &s->grave, bury);
}

void udp_session_end(struct udp_session *s, enum end_reason reason)
{
    if (bug_if(UDP, s->is_over)) return;
    conclude(s, reason);
    udp_session_let_go(s);
}

/* Where it is known how many answers come, one that never came says something of the server. */
void udp_session_expire(struct udp_session *s)
{
    if (bug_if(UDP, s->is_over)) return;
    bool is_unanswered = s->awaited && !s->attempt.has_answered && s->udp->stage != UDP_MUTE;
    bool is_held = s->awaited && s->server.fd >= 0;
    conclude(s, is_unanswered ? END_FIRST_BYTE_TIMEOUT : END_IDLE_TIMEOUT);
    if (!is_held || !udp_listener_hold(s->udp, &s->place)) udp_session_let_go(s);
}

/* Only what it needs for its record is kept; without memory for it, the configuration stays. */
void udp_session_unpin(struct udp_session *s)
{
    if (!s->view || s->view->is_current) return;
    s->addresses = calloc(FLIGHT_ATTEMPTS, sizeof(*s->addresses));
    if (!s->addresses) return;
    for (uint32_t i = 0; i < flight_kept_attempts(&s->record); i++) {
        const struct server *server = roster_server_by_id(s->view->set->roster, s->record.attempts[i].server);
        if (server) memcpy(s->addresses[i], server->address_text, ADDRESS_TEXT_MAX);
    }
    pool_view_put(s->view);
    s->view = s->attempt.view = NULL;
    s->kept = 0; /* it knows no other server any more */
}

/* a server for it */

static void on_server_ready(struct loop_fd *f, uint32_t events);

static uint32_t pick(struct udp_session *s, enum balance_reason *reason)
{
    const struct peer_set *set = s->view->set;
    struct balance_choice choice = { .peer = BALANCE_NONE, .reason = BALANCE_ALL_TRIED };
    struct balance_query q = { .peers = set->peers,
                               .peer_count = set->count,
                               .tried = s->tried,
                               .tried_count = s->tried_count,
                               .hash = balance_hash((struct slice){ (const char *)s->client.bytes, 16 }),
                               .now_ns = loop_of(s)->now_ns,
                               .rng = &loop_of(s)->rng };
    if (set->count) balance_pick(&s->view->balance, &q, &choice);
    *reason = choice.reason;
    return choice.peer;
}

/* A descriptor, or a port (EAGAIN), which those that are over may have. */
static bool is_scarce(int error)
{
    return error == EMFILE || error == ENFILE || error == EAGAIN;
}

enum try { TRY_GOES_ON, TRY_FAILED, TRY_FULL };

static enum try connect_to(struct udp_session *s, struct server *server, enum balance_reason reason)
{
    struct loop *l = loop_of(s);
    if (bug_if(UDP, s->server.fd >= 0)) loop_fd_close(l, &s->server); /* the last one's */
    if (!attempt_enter(&s->attempt, server, reason)) return TRY_FULL;
    s->attempts++;
    s->was_healthy = server_is_healthy(server);
    s->record.picked_us = flight_us(s->start_ns, l->now_ns);
    s->server = (struct loop_fd){ .fd = udp_socket_connect(&server->address), .on_ready = on_server_ready };
    while (s->server.fd < 0 && is_scarce(errno) && udp_listener_yield_port(s->udp))
        s->server.fd = udp_socket_connect(&server->address);
    if (s->server.fd >= 0 && loop_fd_register(l, &s->server, EPOLLIN) == 0) return TRY_GOES_ON;
    s->last = end_reason_of_connect(errno);
    attempt_end(&s->attempt, s->last);
    if (s->server.fd >= 0) close(s->server.fd);
    s->server.fd = -1;
    leave_server(s);
    return TRY_FAILED;
}

/* Who may be picked has changed: whom it tried before it may try again. */
static void renew_view(struct udp_session *s)
{
    if (s->view->is_current) return;
    pool_view_put(s->view);
    s->view = s->attempt.view = pool_view_get(s->pool);
    s->tried_count = 0;
}

/* Nobody waits for room: what would wait is sent again by its client, or is late. */
static bool connect_next(struct udp_session *s)
{
    uint32_t attempts_max = s->view->set->roster->conf->retry.how.attempts;
    bool is_full = false;
    renew_view(s);
    while (s->attempts < attempts_max && s->tried_count < TRIED_MAX) {
        enum balance_reason reason;
        uint32_t peer = pick(s, &reason);
        is_full |= reason == BALANCE_ALL_FULL;
        struct server *server = NULL;
        if (peer != BALANCE_NONE) {
            server = s->view->set->servers[peer];
            s->tried[s->tried_count++] = peer;
        } else if (is_full && !s->has_overflown) {
            server = peer_set_overflow(s->view->set); /* of those on standby */
            s->has_overflown = true;
            reason = BALANCE_OVERFLOW;
        }
        if (!server) break;
        enum try got = connect_to(s, server, reason);
        if (got == TRY_GOES_ON) return true;
        if (got == TRY_FULL) is_full = true;
        if (got == TRY_FAILED && end_reason_info(s->last)->origin == ORIGIN_WEIR) break;
    }
    enum end_reason none = is_full ? END_QUEUE_FULL : END_NO_SERVER;
    udp_session_end(s, s->attempts ? s->last : none);
    return false;
}

/* The server cannot be reached, or has gone. What it was sent goes to another if that is the client's only datagram. */
static void server_failed(struct udp_session *s, enum end_reason reason)
{
    if (bug_if(UDP, s->is_over)) return;
    if (s->attempt.has_answered || !s->kept || !s->view) {
        udp_session_end(s, reason);
        return;
    }
    for (;;) {
        s->last = reason;
        attempt_end(&s->attempt, reason);
        leave_server(s);
        if (!connect_next(s)) return;
        if (send(s->server.fd, s->first, s->kept, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return;
        reason = end_reason_of_connect(errno);
    }
}

/* from the client */

static void describe(struct udp_session *s, const struct address *client)
{
    struct worker *w = worker_of(s);
    struct flight_record *r = &s->record;
    const struct route *route = &s->udp->lw->routes->routes[0];
    flight_init(r);
    r->id = flight_next_id(w->flights);
    r->start_wall_ns = loop_wall_ns(&w->loop);
    r->flags = FLIGHT_TCP | FLIGHT_TUNNEL | FLIGHT_UDP;
    r->client = s->client;
    r->client_port = address_port(client);
    r->listener = s->udp->lw->listener->id;
    r->route = route->id;
    r->pool = route->pool->pool->id;
    r->method = HTTP_OTHER;
}

static void on_more(struct loop_task *t);

struct udp_session *udp_session_start(struct udp_listener *u, struct udp_socket *at,
                                      const struct udp_slot *slot, bool is_counted)
{
    struct worker *w = u->lw->worker;
    struct address client = udp_flow_address(&slot->flow);
    struct ip ip = address_ip(&client);
    struct udp_session *s = slab_get(&w->udp.sessions);
    if (!s) {
        metric_add(w->metrics, u->lw->listener->meter_ends[END_NO_MEMORY], 1);
        overload_note(w, END_NO_MEMORY);
        worker_client_closed(u->lw, &ip, is_counted);
        return NULL;
    }
    s->udp = u;
    s->at = at;
    s->place.flow = slot->flow;
    s->server.fd = -1;
    s->client = ip;
    s->is_client_counted = is_counted;
    s->id = worker_next_connection(w);
    s->start_ns = w->loop.now_ns;
    loop_task_init(&s->more, on_more);
    s->pool = u->lw->routes->routes[0].pool->pool->workers[w->index];
    s->view = pool_view_get(s->pool);
    s->attempt = (struct attempt){ .pool = s->pool, .view = s->view, .record = &s->record };
    describe(s, &client);
    udp_table_add(&u->table, &s->place, loop_now_ms(&w->loop));
    count_add(&w->live.tunnels, 1);
    atomic_fetch_add_explicit(&w->proxy->udp_sessions, 1, memory_order_relaxed);
    return connect_next(s) ? s : NULL;
}

/* Its server is none any more, or not well and was when it began: the next may be. Not before it was sent anything: another that
 * this worker does not know to be gone would be no better. */
static bool is_forsaken(const struct udp_session *s)
{
    const struct server *server = s->attempt.server;
    if (bug_if(UDP, !server)) return true; /* who is not over has one */
    if (!s->datagrams_in) return false;
    return atomic_load_explicit(&server->is_retired, memory_order_relaxed) ||
           (s->was_healthy && !server_is_healthy(server));
}

/* What is due comes while another has its place already: some may never come, and its client may never cease to ask. */
static void make_room_for_next(struct udp_session *s)
{
    if (s->awaited)
        udp_table_hide(&s->udp->table, &s->place);
    else
        udp_session_end(s, END_MOVED);
}

static uint32_t datagrams_in(const struct udp_batch *b, uint32_t first, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t i = first; i < first + count; i++) sum += udp_slot_datagrams(&b->slots[i]);
    return sum;
}

static void note_sent(struct udp_session *s, const struct udp_batch *b, uint32_t first, uint32_t count)
{
    uint32_t datagrams = datagrams_in(b, first, count);
    for (uint32_t i = first; i < first + count; i++) s->record.bytes_in += b->slots[i].len;
    s->datagrams_in += datagrams;
    s->awaited += (uint64_t)datagrams * conf_of(s)->responses;
}

static void drop(struct udp_session *s, enum udp_drop why, uint32_t datagrams)
{
    metric_add(worker_of(s)->metrics, s->udp->lw->listener->udp.dropped[why], datagrams);
}

/* Its client's first, and alone: it may have to go once more. */
static void keep(struct udp_session *s, const struct udp_slot *slot, uint32_t count)
{
    bool is_only = count == 1 && !s->datagrams_in && !slot->segment && slot->len <= UDP_KEPT_BYTES;
    s->kept = is_only ? (uint16_t)slot->len : 0;
    memcpy(s->first, slot->data, s->kept);
}

uint32_t udp_session_pass(struct udp_session *s, uint32_t first, uint32_t count)
{
    struct udp_batch *b = worker_of(s)->udp.in;
    uint32_t done = 0, again = UINT32_MAX;
    if (bug_if(UDP, s->is_over || s->server.fd < 0 || !count || first + count > UDP_BATCH)) return count;
    if (is_forsaken(s)) {
        make_room_for_next(s);
        return 0;
    }
    keep(s, &b->slots[first], count);
    /* Where answers are counted, only they tell that the server lives. */
    if (!conf_of(s)->responses) udp_table_touch(&s->udp->table, &s->place, loop_now_ms(loop_of(s)));
    while (done < count) {
        uint32_t went = udp_batch_send(b, s->server.fd, first + done, count - done, true);
        note_sent(s, b, first + done, went);
        done += went;
        if (done == count) break;
        if (errno == EAGAIN || errno == ENOBUFS) {
            drop(s, UDP_DROP_SERVER, datagrams_in(b, first + done, count - done));
            return count;
        }
        /* The way may have said that of one that was sent before: what is sent after that is cut to fit. */
        if (errno == EMSGSIZE && again != done) {
            again = done;
            continue;
        }
        if (errno == EMSGSIZE) {
            drop(s, UDP_DROP_TOO_LARGE, udp_slot_datagrams(&b->slots[first + done]));
            done++;
            continue;
        }
        bool is_kept = s->kept > 0;
        server_failed(s, end_reason_of_connect(errno));
        if (s->is_over) return is_kept ? count : done;
        note_sent(s, b, first + done, 1);
        done++;
    }
    return count;
}

/* from the server */

static void note_answers(struct udp_session *s, const struct udp_batch *b, uint32_t first, uint32_t count)
{
    uint32_t datagrams = datagrams_in(b, first, count);
    for (uint32_t i = first; i < first + count; i++) s->record.bytes_out += b->slots[i].len;
    s->datagrams_out += datagrams;
    s->awaited -= s->awaited < datagrams ? s->awaited : datagrams;
    s->kept = 0;
    udp_table_touch(&s->udp->table, &s->place, loop_now_ms(loop_of(s)));
    if (!s->attempt.has_answered) {
        attempt_opened(&s->attempt);
        s->record.connected_us = s->record.first_byte_us = flight_us(s->start_ns, loop_of(s)->now_ns);
    }
    if (s->datagrams_out < JOIN_AFTER || s->is_joined) return;
    s->is_joined = true;
    udp_socket_join(s->server.fd);
}

/* Of several that came as one, more may have come than are due. How many of the slots are. */
static uint32_t cut_to_due(struct udp_session *s, struct udp_batch *b, uint32_t first, uint32_t count)
{
    uint64_t due = s->awaited;
    uint32_t used = 0;
    for (; used < count && due; used++) {
        struct udp_slot *slot = &b->slots[first + used];
        uint32_t datagrams = udp_slot_datagrams(slot);
        if (datagrams > due) {
            drop(s, UDP_DROP_UNASKED, datagrams - (uint32_t)due);
            slot->len = (uint32_t)due * slot->segment;
            if (due == 1) slot->segment = 0;
            datagrams = (uint32_t)due;
        }
        due -= datagrams;
    }
    drop(s, UDP_DROP_UNASKED, datagrams_in(b, first + used, count - used));
    return used;
}

/* Its client is told no more. With the last that was due, or when the server says that nobody is there, none comes any more. */
static void drop_late(struct udp_session *s)
{
    uint32_t count = 0;
    if (bug_if(UDP, s->server.fd < 0)) return; /* it is held for what comes there */
    while (count < s->awaited && count < UDP_BATCH &&
           recv(s->server.fd, NULL, 0, MSG_DONTWAIT | MSG_TRUNC) >= 0)
        count++;
    bool is_waiting = count == UDP_BATCH || errno == EAGAIN || errno == EINTR;
    drop(s, UDP_DROP_UNASKED, count);
    s->awaited -= count;
    if (!s->awaited || !is_waiting)
        udp_listener_unhold(s->udp, &s->place);
    else if (count == UDP_BATCH)
        loop_defer(loop_of(s), &s->more);
}

/* No more than a batch of one session before others have their turn. */
static void take_answers(struct udp_session *s)
{
    struct udp_worker *u = &worker_of(s)->udp;
    bool is_counted = conf_of(s)->responses > 0;
    if (bug_if(UDP, s->server.fd < 0)) return;
    uint32_t room = udp_worker_room(u, s->at), first = u->out_count, count;
    if (is_counted && s->awaited < room) room = s->awaited ? (uint32_t)s->awaited : 1;
    enum io io = udp_batch_receive(u->out, s->server.fd, first, room, &count);
    /* Of what was sent to it, the way has said so (ICMP): it says nothing of the server. Answers may wait behind it. */
    if (io == IO_FAIL && errno == EMSGSIZE) {
        drop(s, UDP_DROP_TOO_LARGE, 1);
        loop_defer(loop_of(s), &s->more);
        return;
    }
    if (io == IO_FAIL) {
        server_failed(s, end_reason_of_connect(errno));
        return;
    }
    if (is_counted) count = cut_to_due(s, u->out, first, count);
    if (count) {
        for (uint32_t i = first; i < first + count; i++) u->out->slots[i].flow = s->place.flow;
        note_answers(s, u->out, first, count);
        metric_add(worker_of(s)->metrics, s->udp->lw->listener->udp.sent, datagrams_in(u->out, first, count));
        udp_worker_filled(u, count);
    }
    if (is_counted && count && !s->awaited)
        udp_session_end(s, END_OK);
    else if (io == IO_OK)
        loop_defer(loop_of(s), &s->more);
}

static void on_server_ready(struct loop_fd *f, uint32_t events)
{
    struct udp_session *s = container_of(f, struct udp_session, server);
    (void)events;
    if (s->is_over)
        drop_late(s);
    else
        take_answers(s);
}

static void on_more(struct loop_task *t)
{
    struct udp_session *s = container_of(t, struct udp_session, more);
    if (s->is_over)
        drop_late(s);
    else
        take_answers(s);
}

/* looking at it */

void udp_session_reach(const struct udp_session *s, struct tcp_reach *out, bool *has_descriptor)
{
    *out = (struct tcp_reach){
        .attempt = &s->attempt, .pool = s->pool, .view = s->view, .is_client_counted = s->is_client_counted
    };
    *has_descriptor = s->server.fd >= 0;
}

bool udp_salvage(const struct memory_view *m, uint64_t address, uint64_t worker, struct udp_remains *out)
{
    struct udp_session s;
    uint64_t listener = 0, owner = 0;
    if (!memory_read(m, address, &s, sizeof(s)) || s.is_over ||
        !memory_read_member(m, (uintptr_t)s.udp, struct udp_listener, lw, &listener) ||
        !memory_read_member(m, listener, struct listener_worker, worker, &owner) || owner != worker)
        return false;
    out->start_ns = s.start_ns;
    out->record = s.record;
    return true;
}
