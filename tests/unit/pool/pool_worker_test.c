/* Leases over real sockets on loopback, to servers that the test plays; the queue without any. */
#include "pool/pool_worker.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crew.h"
#include "net/loopback.h"
#include "pool/pool_evidence.h"
#include "pool/pool_lease.h"
#include "pool/sticky.h"
#include "pool/sticky_conf.h"
#include "pool/upstream.h"

#define WAIT_TURNS 1000
#define PEERS_MAX 300

/* The far side of all connections to one server. */
struct origin {
    int listening;
    int fds[PEERS_MAX]; /* by order of their coming; -1: closed */
    uint32_t requests[PEERS_MAX];
    uint32_t count;
    const char *fields; /* more fields of the response */
};

struct attempt {
    struct crew *crew;
    struct pool_worker *worker;
    struct server *server;
    struct http_stream *stream;
    enum lease lease;
    enum end_reason reason;
    bool is_open, has_head;
};

static struct attempt *attempt_of(struct http_stream *s)
{
    return s->owner;
}

static void on_open(struct http_stream *s)
{
    attempt_of(s)->is_open = true;
}

static void on_head(struct http_stream *s, struct http_head *head, unsigned flags)
{
    (void)flags;
    assert_int_equal(head->status, 200);
    attempt_of(s)->has_head = true;
}

static size_t on_body(struct http_stream *s, const char *data, size_t len, unsigned flags)
{
    (void)s, (void)data, (void)flags;
    return len;
}

static void on_trailers(struct http_stream *s, const struct http_field *fields, uint32_t count)
{
    (void)s, (void)fields, (void)count;
}

static void on_error(struct http_stream *s, const struct http_fault *fault)
{
    attempt_of(s)->reason = fault->reason;
}

static void on_writable(struct http_stream *s)
{
    (void)s;
}

static const struct http_stream_events events = {
    .on_open = on_open,
    .on_head = on_head,
    .on_body = on_body,
    .on_trailers = on_trailers,
    .on_error = on_error,
    .on_writable = on_writable,
};

static void origin_open(struct origin *o, struct server_conf *conf)
{
    struct address at;
    char text[ADDRESS_TEXT_MAX];
    struct err err;
    *o = (struct origin){ .listening = loopback_open(SOCK_STREAM | SOCK_NONBLOCK, &at), .fields = "" };
    address_print(&at, text);
    assert_int_equal(address_parse(slice_of(text), false, &conf->address, &err), 0);
}

static void origin_close_connection(struct origin *o, uint32_t index)
{
    close(o->fds[index]);
    o->fds[index] = -1;
}

static void origin_close(struct origin *o)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (o->fds[i] >= 0) close(o->fds[i]);
    close(o->listening);
}

/* Accepts, and answers whatever was asked. */
static void origin_serve(struct origin *o)
{
    int fd;
    while (o->count < PEERS_MAX &&
           (fd = accept4(o->listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        o->fds[o->count++] = fd;
    for (uint32_t i = 0; i < o->count; i++) {
        char request[1024], response[256];
        if (o->fds[i] < 0 || recv(o->fds[i], request, sizeof(request), 0) <= 0) continue;
        int size = snprintf(response, sizeof(response), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n%s\r\n",
                            o->fields);
        assert_int_equal(send(o->fds[i], response, (size_t)size, MSG_NOSIGNAL), size);
        o->requests[i]++;
    }
}

/* How many of the connections it has accepted the other side has not closed. */
static uint32_t origin_open_count(struct origin *o)
{
    uint32_t count = 0;
    origin_serve(o);
    for (uint32_t i = 0; i < o->count; i++) {
        char byte;
        if (o->fds[i] >= 0 && recv(o->fds[i], &byte, 1, MSG_PEEK) != 0) count++;
    }
    return count;
}

static enum lease attempt_lease_to(struct attempt *a, struct crew *c, uint32_t worker, enum lease_need need,
                                   const struct pool_target *target)
{
    *a = (struct attempt){ .crew = c,
                           .worker = c->workers[worker],
                           .server = c->pool->roster->places[0].server };
    a->lease = pool_lease(a->worker, a->server, need, target, &a->stream, &a->reason);
    if (a->stream) {
        a->stream->events = &events;
        a->stream->owner = a;
    }
    a->is_open = a->lease == LEASE_OPEN;
    return a->lease;
}

static enum lease attempt_lease(struct attempt *a, struct crew *c, uint32_t worker, enum lease_need need)
{
    return attempt_lease_to(a, c, worker, need, NULL);
}

static void attempt_ask(struct attempt *a, struct origin *o)
{
    struct http_head head = { .method = HTTP_GET, .method_text = SLICE("GET"), .target = SLICE("/") };
    const struct http_send send = { .head = &head, .authority = SLICE("h") };
    for (int i = 0; i < WAIT_TURNS && !a->is_open; i++) crew_turns(a->crew, 1);
    assert_true(a->is_open);
    assert_int_equal(http_send_head(a->stream, &send, HTTP_END), IO_OK);
    for (int i = 0; i < WAIT_TURNS && !a->has_head; i++) {
        origin_serve(o);
        crew_turns(a->crew, 1);
    }
    assert_true(a->has_head);
}

static void attempt_end(struct attempt *a)
{
    http_stream_release(a->stream);
    pool_unlease(a->worker, a->server);
    crew_turns(a->crew, 1);
}

static void exchange(struct crew *c, struct origin *o, uint32_t worker, enum lease_need need,
                     enum lease expected)
{
    struct attempt a;
    assert_int_equal(attempt_lease(&a, c, worker, need), expected);
    attempt_ask(&a, o);
    attempt_end(&a);
}

/* leases */

static void the_latest_used_idle_connection_goes_first(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    struct attempt a[3];
    crew_init(&c, "least_request", 1);
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    for (int i = 0; i < 3; i++) assert_int_equal(attempt_lease(&a[i], &c, 0, LEASE_ANY), LEASE_OPENING);
    for (int i = 0; i < 3; i++) attempt_ask(&a[i], &o);
    assert_int_equal(c.pool->roster->places[0].server->peer.in_flight, 3);
    static const int order[] = { 1, 0, 2 };
    for (int i = 0; i < 3; i++) attempt_end(&a[order[i]]);
    assert_int_equal(c.idle[0], 3);
    assert_int_equal(c.live[0], 3);
    assert_int_equal(c.pool->roster->places[0].server->peer.open_connections, 3);
    /* Held all at once, they come back in the opposite order. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(attempt_lease(&a[i], &c, 0, LEASE_ANY), LEASE_OPEN);
        attempt_ask(&a[i], &o);
        assert_int_equal(o.requests[order[2 - i]], 2);
    }
    for (int i = 0; i < 3; i++) attempt_end(&a[i]);
    origin_close(&o);
    crew_stop(&c);
}

static void no_more_idle_connections_are_kept_than_configured(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    struct attempt a[4];
    crew_init(&c, "least_request", 1);
    c.conf.idle_connections = 2;
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    for (int i = 0; i < 4; i++) (void)attempt_lease(&a[i], &c, 0, LEASE_ANY);
    for (int i = 0; i < 4; i++) attempt_ask(&a[i], &o);
    c.loops[0].now_ns += NS_PER_MS - 1; /* the timers' milliseconds begin elsewhere than its own */
    for (int i = 0; i < 4; i++) attempt_end(&a[i]);
    c.loops[0].now_ns -= NS_PER_MS - 1;
    crew_pass_time(&c, 990);
    crew_turns(&c, 1);
    assert_int_equal(c.idle[0], 4); /* whoever comes at once need not open what was open */
    for (int i = 0; i < 20; i++) {
        crew_pass_time(&c, 1);
        crew_turns(&c, 1);
    }
    assert_int_equal(c.idle[0], 2);
    assert_int_equal(c.live[0], 2);
    assert_int_equal(origin_open_count(&o), 2);
    origin_close(&o);
    crew_stop(&c);
}

static void four_times_as_many_are_idle_for_a_while_at_most(void **state)
{
    (void)state;
    for (uint32_t keep = 0; keep < 3; keep++) {
        struct crew c;
        struct origin o;
        struct attempt a[10];
        crew_init(&c, "least_request", 1);
        c.conf.idle_connections = keep;
        origin_open(&o, &c.servers[0]);
        crew_start(&c, 1);
        for (int i = 0; i < 10; i++) (void)attempt_lease(&a[i], &c, 0, LEASE_ANY);
        for (int i = 0; i < 10; i++) attempt_ask(&a[i], &o);
        for (int i = 0; i < 10; i++) attempt_end(&a[i]);
        assert_int_equal(c.idle[0], 4 * keep);
        assert_int_equal(c.live[0], 4 * keep);
        crew_pass_time(&c, 1010);
        crew_turns(&c, 1);
        assert_int_equal(c.live[0], keep);
        origin_close(&o);
        crew_stop(&c);
    }
}

/* What is wanted now and then is at the front: the oldest make way one by one, however often others are used. */
static void excess_goes_also_while_some_connections_are_used_all_the_time(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    struct attempt a[8];
    crew_init(&c, "least_request", 1);
    c.conf.idle_connections = 3;
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    for (int i = 0; i < 8; i++) (void)attempt_lease(&a[i], &c, 0, LEASE_ANY);
    for (int i = 0; i < 8; i++) attempt_ask(&a[i], &o);
    for (int i = 0; i < 8; i++) attempt_end(&a[i]);
    for (int round = 0; round < 30; round++) {
        assert_true(c.idle[0] <= 8);
        crew_pass_time(&c, 100);
        crew_turns(&c, 1);
        assert_int_equal(attempt_lease(&a[0], &c, 0, LEASE_ANY), LEASE_OPEN);
        attempt_ask(&a[0], &o);
        attempt_end(&a[0]);
    }
    assert_int_equal(c.idle[0], 3);
    assert_int_equal(origin_open_count(&o), 3);
    origin_close(&o);
    crew_stop(&c);
}

static void a_connection_ends_after_as_many_requests_as_configured(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 1);
    c.conf.max_requests = 3;
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    for (int i = 0; i < 7; i++) exchange(&c, &o, 0, LEASE_ANY, i % 3 ? LEASE_OPEN : LEASE_OPENING);
    assert_int_equal(o.requests[0], 3);
    assert_int_equal(o.requests[1], 3);
    assert_int_equal(o.requests[2], 1);
    assert_int_equal(origin_open_count(&o), 1);
    origin_close(&o);
    crew_stop(&c);
}

static void a_connection_ends_after_as_many_requests_as_the_server_grants(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 1);
    origin_open(&o, &c.servers[0]);
    o.fields = "Keep-Alive: timeout=8, max=1\r\n";
    crew_start(&c, 1);
    /* "max=1": one more, whatever later responses say. */
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
    o.fields = "Keep-Alive: max=100\r\n";
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPEN);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
    assert_int_equal(server_learned_idle_ms(c.pool->roster->places[0].server, c.now_ms), 8000);
    origin_close(&o);
    crew_stop(&c);
}

static void an_idle_connection_is_closed_when_its_time_is_over(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 1);
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
    crew_pass_time(&c, 40000);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPEN);
    /* Its timer was set for the first time of idleness; this one counts from its own beginning. */
    crew_pass_time(&c, 59999);
    crew_turns(&c, 2);
    assert_int_equal(c.idle[0], 1);
    crew_pass_time(&c, 1);
    crew_turns(&c, 2);
    assert_int_equal(c.idle[0], 0);
    assert_int_equal(origin_open_count(&o), 0);
    /* We closed it: nothing was learned of the server's patience. */
    assert_int_equal(server_learned_idle_ms(c.pool->roster->places[0].server, c.now_ms), 0);
    origin_close(&o);
    crew_stop(&c);
}

static void a_limit_that_was_learned_shortens_the_time(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 1);
    origin_open(&o, &c.servers[0]);
    o.fields = "Keep-Alive: timeout=4\r\n";
    crew_start(&c, 1);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
    crew_pass_time(&c, 2999);
    crew_turns(&c, 2);
    assert_int_equal(c.idle[0], 1);
    crew_pass_time(&c, 1);
    crew_turns(&c, 2);
    assert_int_equal(c.idle[0], 0);
    origin_close(&o);
    crew_stop(&c);
}

static void a_connection_that_the_server_closed_while_idle_is_never_leased_and_is_learned_from(void **state)
{
    (void)state;
    /* Seen by the loop before the next lease, or only in the same turn as it. */
    for (int is_seen = 0; is_seen < 2; is_seen++) {
        struct crew c;
        struct origin o;
        crew_init(&c, "least_request", 1);
        origin_open(&o, &c.servers[0]);
        crew_start(&c, 1);
        exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
        crew_pass_time(&c, 700);
        origin_close_connection(&o, 0);
        if (is_seen) {
            crew_turns(&c, 2);
            assert_int_equal(c.live[0], 0);
        } else {
            /* The loop has noted the end, but served nobody yet. */
            struct upstream *idle = container_of(c.pool->roster->places[0].server->workers[0].idle.next,
                                                 struct upstream, link);
            idle->transport->io.pending = EPOLLIN | EPOLLRDHUP;
        }
        exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
        assert_int_equal(server_learned_idle_ms(c.pool->roster->places[0].server, c.now_ms), 700);
        assert_int_equal(c.idle[0], 1);
        origin_close(&o);
        crew_stop(&c);
    }
}

static void a_server_that_speaks_unasked_loses_the_connection(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 1);
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
    assert_int_equal(send(o.fds[0], "HTTP/1.1 408 \r\n\r\n", 17, MSG_NOSIGNAL), 17);
    crew_turns(&c, 2);
    assert_int_equal(c.idle[0], 0);
    assert_int_equal(server_learned_idle_ms(c.pool->roster->places[0].server, c.now_ms), 0);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
    origin_close(&o);
    crew_stop(&c);
}

static void what_cannot_be_sent_twice_takes_a_young_connection_or_a_new_one(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 1);
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    crew_pass_time(&c, 1000);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPEN);
    crew_pass_time(&c, 1001);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    /* The older one was left for those who can use it. */
    assert_int_equal(c.idle[0], 2);
    crew_pass_time(&c, 1001);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPEN);
    exchange(&c, &o, 0, LEASE_FRESH, LEASE_OPENING);
    assert_int_equal(c.idle[0], 3);
    origin_close(&o);
    crew_stop(&c);
}

static uint64_t learned_ms(const struct crew *c)
{
    return server_learned_idle_ms(c->pool->roster->places[0].server, c->now_ms);
}

/* Leased, and then the server is found to have closed it. */
static void exchange_in_vain(struct crew *c, struct origin *o, uint32_t connection)
{
    struct attempt a;
    struct http_head head = { .method = HTTP_POST, .method_text = SLICE("POST"), .target = SLICE("/") };
    const struct http_send send = { .head = &head, .authority = SLICE("h") };
    assert_int_equal(attempt_lease(&a, c, 0, LEASE_YOUNG), LEASE_OPEN);
    origin_close_connection(o, connection);
    assert_int_equal(http_send_head(a.stream, &send, HTTP_END), IO_OK);
    for (int i = 0; i < WAIT_TURNS && !a.reason; i++) crew_turns(c, 1);
    assert_true(a.reason == END_SERVER_CLOSED || a.reason == END_SERVER_RESET);
    http_stream_reset(a.stream, a.reason);
    pool_unlease(a.worker, a.server);
}

static void after_one_was_lost_what_cannot_be_sent_twice_takes_no_connection_of_who_closes_at_once(
    void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 1);
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    exchange_in_vain(&c, &o, 0);
    assert_int_equal(learned_ms(&c), 1);
    /* Kept this very moment, and left for those who can be sent again. */
    for (int i = 0; i < 3; i++) exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPEN);
    /* Long afterwards it is tried again, and found out again. */
    crew_pass_time(&c, 30000);
    crew_turns(&c, 2);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    exchange_in_vain(&c, &o, 4);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    origin_close(&o);
    crew_stop(&c);
}

/* A close comes just before the request at the latest: half of its age is safe, and the next loss halves it again. */
static void a_connection_that_dies_at_reuse_tells_how_patient_its_server_is(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 1);
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    crew_pass_time(&c, 600);
    exchange_in_vain(&c, &o, 0);
    assert_int_equal(learned_ms(&c), 600);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    crew_pass_time(&c, 301);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    crew_pass_time(&c, 300);
    exchange_in_vain(&c, &o, 2);
    assert_int_equal(learned_ms(&c), 300);
    origin_close(&o);
    crew_stop(&c);
}

static void only_the_silent_death_of_a_kept_connection_says_that_it_was_closed(void **state)
{
    (void)state;
    static const struct {
        bool is_reused, has_received;
        enum end_reason reason;
        uint64_t learned;
    } cases[] = {
        { false, false, END_SERVER_CLOSED, 0 },     { true, true, END_SERVER_RESET, 0 },
        { true, false, END_FIRST_BYTE_TIMEOUT, 0 }, { true, false, END_CLIENT_ABORT, 0 },
        { true, false, END_SERVER_CLOSED, 1 },      { true, false, END_SERVER_RESET, 1 },
        { true, false, END_SEND_FAILED, 1 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct crew c;
        struct origin o;
        struct attempt a;
        crew_init(&c, "least_request", 1);
        origin_open(&o, &c.servers[0]);
        crew_start(&c, 1);
        exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
        assert_int_equal(attempt_lease(&a, &c, 0, LEASE_YOUNG), LEASE_OPEN);
        assert_true(a.stream->is_reused);
        a.stream->is_reused = cases[i].is_reused;
        a.stream->has_received = cases[i].has_received;
        http_stream_reset(a.stream, cases[i].reason);
        assert_int_equal(learned_ms(&c), cases[i].learned);
        pool_unlease(a.worker, a.server);
        origin_close(&o);
        crew_stop(&c);
    }
}

static void show(struct pool_worker *pw, struct server *s, enum pool_evidence_kind kind,
                 enum end_reason reason)
{
    const struct pool_evidence e = { kind, reason, POOL_UNTIMED };
    pool_attempt_ended(pw, NULL, s, &e);
}

static void a_refused_connection_counts_nothing_and_three_eject(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 2);
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    origin_close(&o);
    for (int i = 0; i < CREW_EJECT_AFTER; i++) {
        struct attempt a;
        assert_int_equal(c.workers[0]->view->set->count, 2);
        assert_int_equal(attempt_lease(&a, &c, 0, LEASE_ANY), LEASE_OPENING);
        for (int n = 0; n < WAIT_TURNS && !a.reason; n++) crew_turns(&c, 1);
        assert_int_equal(a.reason, END_CONNECT_REFUSED);
        show(a.worker, a.server, POOL_ENDED, a.reason);
        http_stream_reset(a.stream, a.reason);
        pool_unlease(a.worker, a.server);
        crew_turns(&c, 2);
    }
    assert_int_equal(c.workers[0]->view->set->count, 1);
    assert_ptr_equal(c.workers[0]->view->set->servers[0], c.pool->roster->places[1].server);
    crew_pass_time(&c, CREW_EJECT_MIN_MS - 1);
    crew_readmit(&c);
    assert_int_equal(c.workers[0]->view->set->count, 1);
    crew_pass_time(&c, 1);
    crew_readmit(&c);
    assert_int_equal(c.workers[0]->view->set->count, 2);
    crew_stop(&c);
}

/* A connection that gives two streams at a time, as another version of HTTP does. */
struct wide {
    struct upstream base; /* first */
    struct transport transport;
    struct http_stream streams[2];
    uint32_t given;
};

static struct http_stream *wide_lease(struct upstream *u, enum lease_need need)
{
    (void)need;
    struct wide *w = container_of(u, struct wide, base);
    return &w->streams[w->given++];
}

static uint32_t wide_capacity(const struct upstream *u)
{
    return 2 - ((const struct wide *)u)->given;
}

static void a_connection_with_capacity_gives_its_streams_before_another_is_opened(void **state)
{
    (void)state;
    static const struct upstream_ops ops = { .lease = wide_lease, .capacity = wide_capacity };
    struct crew c;
    struct origin o;
    struct attempt a[4];
    struct wide w = { .given = 0 };
    crew_init(&c, "least_request", 1);
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    struct server_worker *sw = &c.pool->roster->places[0].server->workers[0];
    transport_init_closed(&w.transport);
    w.base = (struct upstream){ .ops = &ops, .home = sw, .transport = &w.transport };
    list_init(&w.base.link);
    list_push_back(&sw->open, &w.base.link);
    for (int i = 0; i < 2; i++) { /* what is at work is as good as new */
        assert_int_equal(attempt_lease(&a[i], &c, 0, i ? LEASE_YOUNG : LEASE_FRESH), LEASE_OPEN);
        assert_ptr_equal(a[i].stream, &w.streams[i]);
        assert_int_equal(list_is_empty(&sw->open), i == 1); /* off as soon as it can give no more */
    }
    assert_int_equal(attempt_lease(&a[2], &c, 0, LEASE_FRESH), LEASE_OPENING);
    assert_int_equal(attempt_lease(&a[3], &c, 0, LEASE_ANY), LEASE_OPENING);
    assert_int_equal(c.live[0], 2); /* connections: one each for the last two */
    assert_int_equal(sw->server->peer.in_flight, 4);
    for (int i = 0; i < 4; i++) {
        if (i >= 2) http_stream_reset(a[i].stream, END_NONE);
        pool_unlease(a[i].worker, a[i].server);
    }
    crew_turns(&c, 2);
    origin_close(&o);
    crew_stop(&c);
}

static void a_success_is_told_only_after_a_failure(void **state)
{
    (void)state;
    struct crew c;
    crew_init(&c, "least_request", 1);
    crew_start(&c, 1);
    struct server *s = c.pool->roster->places[0].server;
    show(c.workers[0], s, POOL_CONNECTED, END_OK);
    crew_turns(&c, 1);
    assert_int_equal(s->health, SERVER_UNKNOWN);
    for (int i = 0; i < CREW_EJECT_AFTER - 1; i++) show(c.workers[0], s, POOL_ENDED, END_CONNECT_REFUSED);
    show(c.workers[0], s, POOL_CONNECTED, END_OK);
    crew_turns(&c, 1);
    assert_int_equal(s->health, SERVER_UP);
    assert_int_equal(s->state.failures, 0);
    crew_stop(&c);
}

static void whom_the_operator_takes_out_keeps_no_idle_connections(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 2);
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 2);
    struct attempt busy;
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
    exchange(&c, &o, 1, LEASE_ANY, LEASE_OPENING);
    (void)attempt_lease(&busy, &c, 0, LEASE_FRESH);
    attempt_ask(&busy, &o);
    atomic_store(&c.pool->roster->places[0].server->admin, SERVER_DRAIN);
    crew_publish(&c);
    crew_turns(&c, 1);
    assert_int_equal(c.idle[0] + c.idle[1], 0);
    assert_int_equal(c.live[0], 1);
    attempt_end(&busy);
    assert_int_equal(c.live[0], 0);
    assert_int_equal(origin_open_count(&o), 0);
    origin_close(&o);
    crew_stop(&c);
}

/* However many there are, and whatever comes in between. */
static void of_idle_connections_so_many_close_a_turn(void **state)
{
    (void)state;
    enum { COUNT = 2 * POOL_CLOSES_A_TURN + 10 };
    struct crew c;
    struct origin o;
    static struct attempt attempts[COUNT];
    crew_init(&c, "least_request", 2);
    c.conf.idle_connections = COUNT;
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    for (uint32_t i = 0; i < COUNT; i++) {
        (void)attempt_lease(&attempts[i], &c, 0, LEASE_FRESH);
        attempt_ask(&attempts[i], &o);
    }
    for (uint32_t i = 0; i < COUNT; i++) attempt_end(&attempts[i]);
    assert_int_equal(c.idle[0], COUNT);
    atomic_store(&c.pool->roster->places[0].server->admin, SERVER_DRAIN);
    crew_publish(&c);
    crew_turns(&c, 1);
    assert_int_equal(c.idle[0], COUNT - POOL_CLOSES_A_TURN);
    crew_publish(&c); /* the same once more */
    crew_turns(&c, 1);
    assert_int_equal(c.idle[0], COUNT - 2 * POOL_CLOSES_A_TURN);
    atomic_store(&c.pool->roster->places[0].server->admin, SERVER_ENABLED);
    crew_publish(&c); /* it is wanted again: what is left of them stays */
    crew_turns(&c, 2);
    assert_int_equal(c.idle[0], COUNT - 2 * POOL_CLOSES_A_TURN);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPEN);
    atomic_store(&c.pool->roster->places[0].server->admin, SERVER_DRAIN);
    crew_publish(&c);
    crew_turns(&c, 1);
    assert_int_equal(c.idle[0], 0);
    assert_int_equal(origin_open_count(&o), 0);
    origin_close(&o);
    crew_stop(&c);
}

static void whose_clients_have_its_cookie_keeps_idle_connections_while_it_drains(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    const char *secret = "0123456789abcdef";
    struct sticky_conf sticky = { .cookie = "c", .secrets = { &secret, 1 }, .path = "/" };
    crew_init(&c, "least_request", 2);
    c.conf.sticky = &sticky;
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
    server_set_admin(c.pool->roster->places[0].server, SERVER_DRAIN, c.now_ms);
    crew_publish(&c);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPEN);
    assert_int_equal(c.idle[0], 1);
    server_set_admin(c.pool->roster->places[0].server, SERVER_MAINTENANCE, c.now_ms);
    crew_publish(&c);
    crew_turns(&c, 1);
    assert_int_equal(c.idle[0], 0);
    origin_close(&o);
    crew_stop(&c);
}

/* targets */

#define TARGETS 3

/* A pool of one local address and servers to go to by it. */
static void start_egress(struct crew *c, struct origin *o, struct pool_target *targets, const char *local)
{
    struct err err;
    crew_init(c, "least_request", 1);
    c->conf.kind = POOL_EGRESS;
    assert_int_equal(address_parse(slice_of(local), true, &c->servers[0].address, &err), 0);
    for (int i = 0; i < TARGETS; i++) {
        struct server_conf conf;
        origin_open(&o[i], &conf);
        targets[i] = (struct pool_target){ .address = conf.address };
    }
    crew_start(c, 1);
}

static void exchange_with(struct crew *c, struct origin *o, const struct pool_target *target,
                          enum lease expected)
{
    struct attempt a;
    assert_int_equal(attempt_lease_to(&a, c, 0, LEASE_ANY, target), expected);
    attempt_ask(&a, o);
    attempt_end(&a);
}

static void stop_egress(struct crew *c, struct origin *o)
{
    for (int i = 0; i < TARGETS; i++) origin_close(&o[i]);
    crew_stop(c);
}

static void a_target_is_reached_from_the_servers_address(void **state)
{
    (void)state;
    struct crew c;
    struct origin o[TARGETS];
    struct pool_target targets[TARGETS];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    start_egress(&c, o, targets, "127.0.0.7:0");
    exchange_with(&c, &o[0], &targets[0], LEASE_OPENING);
    assert_int_equal(getpeername(o[0].fds[0], (struct sockaddr *)&from, &len), 0);
    assert_int_equal(ntohl(from.sin_addr.s_addr), INADDR_LOOPBACK + 6);
    assert_int_equal(c.pool->roster->places[0].server->peer.open_connections, 1);
    stop_egress(&c, o);
}

static void an_idle_connection_is_used_again_for_the_same_target_only(void **state)
{
    (void)state;
    struct crew c;
    struct origin o[TARGETS];
    struct pool_target targets[TARGETS];
    start_egress(&c, o, targets, "127.0.0.1:0");
    for (int i = 0; i < TARGETS; i++) exchange_with(&c, &o[i], &targets[i], LEASE_OPENING);
    for (int i = 0; i < TARGETS; i++) exchange_with(&c, &o[i], &targets[i], LEASE_OPEN);
    for (int i = 0; i < TARGETS; i++) assert_int_equal(o[i].count, 1);
    assert_int_equal(c.idle[0], 3);
    stop_egress(&c, o);
}

static void where_there_is_no_room_the_oldest_idle_connection_to_a_target_makes_way(void **state)
{
    (void)state;
    struct crew c;
    struct origin o[TARGETS];
    struct pool_target targets[TARGETS];
    start_egress(&c, o, targets, "127.0.0.1:0");
    c.conf.idle_connections = 2;
    for (int i = 0; i < TARGETS; i++) exchange_with(&c, &o[i], &targets[i], LEASE_OPENING);
    assert_int_equal(c.idle[0], 2);
    exchange_with(&c, &o[2], &targets[2], LEASE_OPEN);
    exchange_with(&c, &o[1], &targets[1], LEASE_OPEN);
    exchange_with(&c, &o[0], &targets[0], LEASE_OPENING);
    stop_egress(&c, o);
}

static void nothing_is_learned_of_a_local_address_from_what_targets_do(void **state)
{
    (void)state;
    struct crew c;
    struct origin o[TARGETS];
    struct pool_target targets[TARGETS];
    start_egress(&c, o, targets, "127.0.0.1:0");
    o[0].fields = "Keep-Alive: timeout=4\r\n";
    exchange_with(&c, &o[0], &targets[0], LEASE_OPENING);
    exchange_with(&c, &o[1], &targets[1], LEASE_OPENING);
    crew_pass_time(&c, 700);
    origin_close_connection(&o[1], 0);
    crew_turns(&c, 2);
    assert_int_equal(c.idle[0], 1);
    assert_int_equal(server_learned_idle_ms(c.pool->roster->places[0].server, c.now_ms), 0);
    stop_egress(&c, o);
}

static void an_address_that_is_not_ours_is_a_failure_to_connect(void **state)
{
    (void)state;
    struct crew c;
    struct origin o[TARGETS];
    struct pool_target targets[TARGETS];
    struct attempt a;
    start_egress(&c, o, targets, "192.0.2.1:0");
    assert_int_equal(attempt_lease_to(&a, &c, 0, LEASE_ANY, &targets[0]), LEASE_FAILED);
    assert_int_equal(a.reason, END_CONNECT_FAILED);
    assert_int_equal(c.pool->roster->places[0].server->peer.in_flight, 0);
    assert_int_equal(c.pool->roster->places[0].server->peer.open_connections, 0);
    stop_egress(&c, o);
}

static void targets_belong_to_egress_pools_and_to_no_others(void **state)
{
    (void)state;
    struct crew c;
    struct origin o[TARGETS];
    struct pool_target targets[TARGETS];
    struct attempt a;
    start_egress(&c, o, targets, "127.0.0.1:0");
    assert_int_equal(attempt_lease_to(&a, &c, 0, LEASE_ANY, NULL), LEASE_FAILED);
    assert_int_equal(a.reason, END_INTERNAL);
    stop_egress(&c, o);
    crew_init(&c, "least_request", 1);
    crew_start(&c, 1);
    assert_int_equal(attempt_lease_to(&a, &c, 0, LEASE_ANY, &targets[0]), LEASE_FAILED);
    assert_int_equal(a.reason, END_INTERNAL);
    crew_stop(&c);
}

/* the cap */

static void two_workers_together_open_no_more_connections_than_the_cap(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    struct attempt a[4];
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 3;
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 2);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(attempt_lease(&a[i], &c, i % 2, LEASE_ANY), LEASE_OPENING);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(attempt_lease(&a[3], &c, i, LEASE_ANY), LEASE_FULL);
        assert_int_equal(attempt_lease(&a[3], &c, i, LEASE_FRESH), LEASE_FULL);
        assert_false(pool_enter(c.workers[i], c.pool->roster->places[0].server));
    }
    assert_int_equal(c.pool->roster->places[0].server->peer.in_flight, 3);
    assert_int_equal(c.pool->roster->places[0].server->peer.open_connections, 3);
    for (int i = 0; i < 3; i++) attempt_ask(&a[i], &o);
    for (int i = 0; i < 3; i++) attempt_end(&a[i]);
    assert_int_equal(o.count, 3);
    origin_close(&o);
    crew_stop(&c);
}

struct waiter {
    struct pool_waiter w;
    struct crew *crew;
    uint32_t number, worker;
    struct attempt attempt;
};

static uint32_t turn_order[64], turn_count;

static void on_turn_note(struct pool_waiter *w)
{
    turn_order[turn_count++] = container_of(w, struct waiter, w)->number;
}

/* Takes a slot of the first server, or waits again in front. */
static void on_turn_enter(struct pool_waiter *pw)
{
    struct waiter *w = container_of(pw, struct waiter, w);
    struct pool_worker *worker = w->crew->workers[w->worker];
    if (pool_enter(worker, w->crew->pool->roster->places[0].server))
        on_turn_note(pw);
    else
        assert_true(pool_wait(worker, pw, true));
}

static void on_turn_lease(struct pool_waiter *pw)
{
    struct waiter *w = container_of(pw, struct waiter, w);
    if (attempt_lease(&w->attempt, w->crew, w->worker, LEASE_ANY) == LEASE_FULL)
        assert_true(pool_wait(w->crew->workers[w->worker], pw, true));
    else
        on_turn_note(pw);
}

static bool waiter_wait(struct waiter *w, struct crew *c, uint32_t worker, uint32_t number,
                        void (*on_turn)(struct pool_waiter *))
{
    *w = (struct waiter){ .w = { .on_turn = on_turn }, .crew = c, .number = number, .worker = worker };
    list_init(&w->w.link);
    return pool_wait(c->workers[worker], &w->w, false);
}

static void an_idle_connection_of_one_worker_makes_way_for_another(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    struct attempt a;
    struct waiter w;
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 2);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
    assert_int_equal(c.idle[0], 1);
    /* Full although nothing is in flight: the one connection is the other worker's. */
    assert_int_equal(attempt_lease(&a, &c, 1, LEASE_ANY), LEASE_FULL);
    assert_int_equal(c.pool->roster->places[0].server->peer.in_flight, 0);
    turn_count = 0;
    assert_true(waiter_wait(&w, &c, 1, 7, on_turn_note));
    crew_turns(&c, 2);
    assert_int_equal(c.idle[0], 0);
    assert_int_equal(turn_count, 1);
    exchange(&c, &o, 1, LEASE_ANY, LEASE_OPENING);
    assert_int_equal(origin_open_count(&o), 1);
    origin_close(&o);
    crew_stop(&c);
}

static void at_the_cap_an_idle_connection_too_old_for_a_request_makes_way_for_a_new_one(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 1);
    exchange(&c, &o, 0, LEASE_ANY, LEASE_OPENING);
    crew_pass_time(&c, 5000);
    exchange(&c, &o, 0, LEASE_YOUNG, LEASE_OPENING);
    exchange(&c, &o, 0, LEASE_FRESH, LEASE_OPENING);
    assert_int_equal(origin_open_count(&o), 1);
    origin_close(&o);
    crew_stop(&c);
}

/* the queue */

static void freed_slots_are_passed_to_waiting_workers_in_turn(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[6];
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    crew_start(&c, 3);
    struct server *s = c.pool->roster->places[0].server;
    assert_true(pool_enter(c.workers[0], s));
    /* 0, 3 wait on worker 0; 1, 4 on worker 1; 2, 5 on worker 2. */
    for (uint32_t i = 0; i < 6; i++) assert_true(waiter_wait(&w[i], &c, i % 3, i, on_turn_enter));
    turn_count = 0;
    crew_turns(&c, 3);
    assert_int_equal(turn_count, 0);
    uint32_t holder = 0;
    for (uint32_t i = 0; i < 6; i++) {
        pool_leave(c.workers[holder], s);
        crew_turns(&c, 2);
        assert_int_equal(turn_count, i + 1);
        holder = turn_order[i] % 3;
    }
    /* The worker that frees comes last. */
    static const uint32_t expected[] = { 1, 2, 0, 4, 5, 3 };
    assert_memory_equal(turn_order, expected, sizeof(expected));
    pool_leave(c.workers[holder], s);
    crew_stop(&c);
}

static void one_workers_queue_is_first_in_first_out_and_bounded(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[6];
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    c.conf.queue.length = 5;
    crew_start(&c, 1);
    struct server *s = c.pool->roster->places[0].server;
    assert_true(pool_enter(c.workers[0], s));
    for (uint32_t i = 0; i < 6; i++) assert_int_equal(waiter_wait(&w[i], &c, 0, i, on_turn_enter), i < 5);
    /* One gives up: the others keep their order. */
    pool_stop_waiting(c.workers[0], &w[1].w);
    pool_stop_waiting(c.workers[0], &w[1].w);
    assert_int_equal(c.workers[0]->queue_length, 4);
    turn_count = 0;
    static const uint32_t expected[] = { 0, 2, 3, 4 };
    for (uint32_t i = 0; i < 4; i++) {
        pool_leave(c.workers[0], s);
        crew_turns(&c, 2);
        assert_int_equal(turn_count, i + 1);
        assert_int_equal(turn_order[i], expected[i]);
    }
    pool_leave(c.workers[0], s);
    crew_stop(&c);
}

static void nobody_overtakes_those_who_wait(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[3];
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    c.conf.queue.length = 3;
    crew_start(&c, 2);
    turn_count = 0;
    struct server *s = c.pool->roster->places[0].server;
    assert_true(pool_enter(c.workers[1], s));
    for (uint32_t i = 0; i < 3; i++) assert_true(waiter_wait(&w[i], &c, 0, i, on_turn_enter));
    uint32_t holder = 1;
    for (uint32_t i = 0; i < 3; i++) {
        /* Freed, and wanted by others before the news comes: it is not to be had. */
        pool_leave(c.workers[holder], s);
        assert_int_equal(s->peer.in_flight, 1);
        for (uint32_t worker = 0; worker < 2; worker++) assert_false(pool_enter(c.workers[worker], s));
        assert_int_equal(turn_count, i);
        crew_turns(&c, 2);
        assert_int_equal(turn_count, i + 1);
        assert_int_equal(turn_order[i], i);
        holder = 0;
    }
    pool_leave(c.workers[0], s);
    assert_int_equal(s->peer.in_flight, 0);
    assert_true(pool_enter(c.workers[1], s));
    pool_leave(c.workers[1], s);
    crew_stop(&c);
}

/* With a slot but without a connection, for all are kept idle elsewhere. */
static void who_had_his_turn_in_vain_waits_in_front(void **state)
{
    (void)state;
    struct crew c;
    struct origin o;
    struct waiter w[3];
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    origin_open(&o, &c.servers[0]);
    crew_start(&c, 2);
    exchange(&c, &o, 1, LEASE_ANY, LEASE_OPENING);
    assert_int_equal(c.idle[1], 1);
    turn_count = 0;
    for (uint32_t i = 0; i < 3; i++) assert_true(waiter_wait(&w[i], &c, 0, i, on_turn_lease));
    loop_turn(&c.loops[0], 0); /* in vain; the other worker is asked */
    assert_int_equal(turn_count, 0);
    assert_int_equal(c.workers[0]->queue_length, 3);
    assert_int_equal(c.pool->roster->places[0].server->peer.in_flight, 0);
    crew_turns(&c, 3);
    assert_int_equal(c.idle[1], 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(turn_count, i + 1);
        assert_int_equal(turn_order[i], i);
        attempt_ask(&w[i].attempt, &o);
        attempt_end(&w[i].attempt);
        crew_turns(&c, 2);
    }
    origin_close(&o);
    crew_stop(&c);
}

static void a_slot_freed_just_before_the_wait_is_found(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w;
    crew_init(&c, "least_request", 2);
    c.servers[0].max_connections = c.servers[1].max_connections = 1;
    crew_start(&c, 2);
    for (uint32_t i = 0; i < 2; i++) assert_true(pool_enter(c.workers[1], c.pool->roster->places[i].server));
    assert_false(pool_enter(c.workers[0], c.pool->roster->places[1].server));
    pool_leave(c.workers[1], c.pool->roster->places[1].server); /* nobody waits yet: nobody is told */
    turn_count = 0;
    assert_true(waiter_wait(&w, &c, 0, 3, on_turn_note));
    crew_turns(&c, 2);
    assert_int_equal(turn_count, 1);
    pool_leave(c.workers[1], c.pool->roster->places[0].server);
    crew_stop(&c);
}

/* Had his turn, tried a server that failed, and found the others full again. */
static void who_waits_again_after_an_attempt_is_woken_like_others(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w = { .w = { .on_turn = on_turn_note } };
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    crew_start(&c, 2);
    struct server *s = c.pool->roster->places[0].server;
    turn_count = 0;
    for (uint32_t is_freed_before = 0; is_freed_before < 2; is_freed_before++) {
        assert_true(pool_enter(c.workers[1], s));
        if (is_freed_before) pool_leave(c.workers[1], s);
        list_init(&w.w.link);
        assert_true(pool_wait(c.workers[0], &w.w, true));
        if (!is_freed_before) pool_leave(c.workers[1], s);
        crew_turns(&c, 2);
        assert_int_equal(turn_count, 1 + is_freed_before);
    }
    crew_stop(&c);
}

static void a_slot_offered_to_one_who_has_given_up_goes_on_to_the_next(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[2];
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    crew_start(&c, 3);
    struct server *s = c.pool->roster->places[0].server;
    assert_true(pool_enter(c.workers[0], s));
    for (uint32_t i = 0; i < 2; i++) assert_true(waiter_wait(&w[i], &c, 1 + i, i, on_turn_note));
    turn_count = 0;
    pool_leave(c.workers[0], s); /* offered to worker 1 */
    pool_stop_waiting(c.workers[1], &w[0].w);
    crew_turns(&c, 5);
    assert_int_equal(turn_count, 1);
    assert_int_equal(turn_order[0], 1);
    crew_stop(&c);
}

static void a_slot_that_its_receiver_does_not_want_goes_on_to_the_next(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[4];
    crew_init(&c, "least_request", 1);
    c.servers[0].max_connections = 1;
    crew_start(&c, 2);
    struct server *s = c.pool->roster->places[0].server;
    assert_true(pool_enter(c.workers[0], s));
    for (uint32_t i = 0; i < 4; i++) assert_true(waiter_wait(&w[i], &c, i % 2, i, on_turn_note));
    /* Each has its turn and ends otherwise (its client is gone, say). */
    turn_count = 0;
    pool_leave(c.workers[0], s);
    crew_turns(&c, 10);
    assert_int_equal(turn_count, 4);
    crew_stop(&c);
}

/* Its table stays as it is, and so do its weights: only peer.is_out changes. */
static void a_server_that_comes_back_into_a_set_that_kept_it_is_told_to_those_who_wait(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w;
    crew_init(&c, "hash", 2);
    c.servers[0].max_connections = 1;
    crew_start(&c, 1);
    atomic_store(&c.pool->roster->places[1].server->health, SERVER_DOWN);
    crew_publish(&c);
    const void *table = c.pool->current->table;
    assert_true(pool_enter(c.workers[0], c.pool->roster->places[0].server));
    turn_count = 0;
    assert_true(waiter_wait(&w, &c, 0, 1, on_turn_note));
    crew_turns(&c, 3);
    assert_int_equal(turn_count, 0);
    atomic_store(&c.pool->roster->places[1].server->health, SERVER_UP);
    crew_publish(&c);
    assert_ptr_equal(c.pool->current->table, table);
    crew_turns(&c, 3);
    assert_int_equal(turn_count, 1);
    pool_leave(c.workers[0], c.pool->roster->places[0].server);
    crew_stop(&c);
}

static void a_free_slot_of_a_standby_server_is_offered_too(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w;
    crew_init(&c, "least_request", 2);
    c.servers[0].max_connections = c.servers[1].max_connections = 1;
    c.servers[1].tier = 2;
    crew_start(&c, 2);
    for (uint32_t i = 0; i < 2; i++) assert_true(pool_enter(c.workers[1], c.pool->roster->places[i].server));
    assert_null(peer_set_overflow(c.pool->current));
    turn_count = 0;
    pool_leave(c.workers[1], c.pool->roster->places[1].server); /* nobody waits yet */
    assert_true(waiter_wait(&w, &c, 0, 3, on_turn_note));
    crew_turns(&c, 2);
    assert_int_equal(turn_count, 1);
    assert_ptr_equal(peer_set_overflow(c.pool->current), c.pool->roster->places[1].server);
    pool_leave(c.workers[1], c.pool->roster->places[0].server);
    crew_stop(&c);
}

static void a_server_that_comes_back_is_told_to_those_who_wait(void **state)
{
    (void)state;
    struct crew c;
    struct waiter w[3];
    crew_init(&c, "least_request", 2);
    c.servers[0].max_connections = 1;
    crew_start(&c, 2);
    atomic_store(&c.pool->roster->places[1].server->health, SERVER_DOWN);
    crew_publish(&c);
    assert_true(pool_enter(c.workers[0], c.pool->roster->places[0].server));
    for (uint32_t i = 0; i < 3; i++) assert_true(waiter_wait(&w[i], &c, i % 2, i, on_turn_note));
    turn_count = 0;
    crew_turns(&c, 3);
    assert_int_equal(turn_count, 0);
    atomic_store(&c.pool->roster->places[1].server->health, SERVER_UP);
    crew_publish(&c);
    crew_turns(&c, 5);
    assert_int_equal(turn_count, 3);
    pool_leave(c.workers[0], c.pool->roster->places[0].server);
    crew_stop(&c);
}

/* Many exchanges on three workers, in an order drawn by lot: whoever gets no slot waits, some give up. */

#define LOT_WORKERS 3
#define LOT_SERVERS 3
#define LOT_EXCHANGES 24
#define LOT_STEPS 1500
#define LOT_TURNS 4

struct lot;

struct lot_exchange {
    struct pool_waiter w;
    struct lot *lot;
    uint32_t worker;
    struct server *server; /* it holds a slot of */
    enum { LOT_IDLE, LOT_WAITS, LOT_RUNS } state;
    bool is_again, gives_up; /* at its next turn */
};

struct lot {
    struct crew crew;
    struct rng rng;
    struct lot_exchange exchanges[LOT_EXCHANGES];
    uint32_t turns; /* that somebody had */
};

static void lot_begin(struct lot_exchange *x)
{
    struct crew *c = &x->lot->crew;
    struct pool_worker *pw = c->workers[x->worker];
    uint32_t first = rng_below(&x->lot->rng, LOT_SERVERS);
    for (uint32_t i = 0; i < LOT_SERVERS; i++) {
        struct server *s = c->pool->roster->places[(first + i) % LOT_SERVERS].server;
        if (!pool_enter(pw, s)) continue;
        x->server = s;
        x->state = LOT_RUNS;
        return;
    }
    x->state = pool_wait(pw, &x->w, x->is_again) ? LOT_WAITS : LOT_IDLE;
}

static void lot_on_turn(struct pool_waiter *w)
{
    struct lot_exchange *x = container_of(w, struct lot_exchange, w);
    x->lot->turns++;
    x->state = LOT_IDLE;
    x->is_again = true;
    if (!x->gives_up) lot_begin(x);
}

static void lot_step(struct lot *lot)
{
    struct crew *c = &lot->crew;
    struct lot_exchange *x = &lot->exchanges[rng_below(&lot->rng, LOT_EXCHANGES)];
    if (rng_below(&lot->rng, 3) == 0) loop_turn(&c->loops[rng_below(&lot->rng, LOT_WORKERS)], 0);
    switch (x->state) {
    case LOT_IDLE:
        x->worker = rng_below(&lot->rng, LOT_WORKERS);
        x->is_again = false;
        x->gives_up = rng_below(&lot->rng, 8) == 0;
        lot_begin(x);
        break;
    case LOT_WAITS:
        if (rng_below(&lot->rng, 10)) break;
        pool_stop_waiting(c->workers[x->worker], &x->w);
        x->state = LOT_IDLE;
        break;
    case LOT_RUNS:
        pool_leave(c->workers[x->worker], x->server);
        x->state = LOT_IDLE;
        break;
    }
    for (uint32_t i = 0; i < LOT_SERVERS; i++) {
        const struct balance_peer *p = &c->pool->roster->places[i].server->peer;
        assert_true(p->in_flight <= p->cap);
        assert_true(p->open_connections <= p->cap);
    }
}

static bool lot_has(const struct lot *lot, int state)
{
    for (uint32_t i = 0; i < LOT_EXCHANGES; i++)
        if ((int)lot->exchanges[i].state == state) return true;
    return false;
}

static bool lot_has_free_slot(const struct lot *lot)
{
    for (uint32_t i = 0; i < LOT_SERVERS; i++)
        if (!balance_peer_is_full(&lot->crew.pool->roster->places[i].server->peer)) return true;
    return false;
}

static void lot_play(struct lot *lot, uint64_t seed)
{
    crew_init(&lot->crew, "least_request", LOT_SERVERS);
    for (uint32_t i = 0; i < LOT_SERVERS; i++) lot->crew.servers[i].max_connections = 1 + i;
    /* Half of the times one of them is on standby. */
    if (seed % 2) lot->crew.servers[seed % LOT_SERVERS].tier = 2;
    crew_start(&lot->crew, LOT_WORKERS);
    rng_seed(&lot->rng, seed);
    for (uint32_t i = 0; i < LOT_EXCHANGES; i++) {
        lot->exchanges[i] = (struct lot_exchange){ .w = { .on_turn = lot_on_turn }, .lot = lot };
        list_init(&lot->exchanges[i].w.link);
    }
    for (uint32_t step = 0; step < LOT_STEPS; step++) {
        lot_step(lot);
        if (step % 16) continue;
        /* Left alone for a few turns: nobody waits beside a free slot. */
        for (uint32_t n = 0; n < LOT_TURNS && lot_has(lot, LOT_WAITS) && lot_has_free_slot(lot); n++) {
            uint32_t before = lot->turns;
            crew_turns(&lot->crew, 2);
            if (lot->turns > before) n = 0;
        }
        if (lot_has(lot, LOT_WAITS) && lot_has_free_slot(lot))
            fail_msg("seed %u, step %u: somebody waits beside a free slot", (unsigned)seed, step);
    }
    for (uint32_t i = 0; i < LOT_EXCHANGES; i++) {
        struct lot_exchange *x = &lot->exchanges[i];
        if (x->state == LOT_WAITS) pool_stop_waiting(lot->crew.workers[x->worker], &x->w);
        if (x->state == LOT_RUNS) pool_leave(lot->crew.workers[x->worker], x->server);
    }
    crew_turns(&lot->crew, 5);
    crew_stop(&lot->crew);
}

static void nobody_waits_beside_a_free_slot_whatever_the_order_of_events(void **state)
{
    (void)state;
    static struct lot lot;
    for (uint64_t seed = 1; seed <= 40; seed++) lot_play(&lot, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_latest_used_idle_connection_goes_first),
        cmocka_unit_test(no_more_idle_connections_are_kept_than_configured),
        cmocka_unit_test(four_times_as_many_are_idle_for_a_while_at_most),
        cmocka_unit_test(excess_goes_also_while_some_connections_are_used_all_the_time),
        cmocka_unit_test(a_connection_ends_after_as_many_requests_as_configured),
        cmocka_unit_test(a_connection_ends_after_as_many_requests_as_the_server_grants),
        cmocka_unit_test(an_idle_connection_is_closed_when_its_time_is_over),
        cmocka_unit_test(a_limit_that_was_learned_shortens_the_time),
        cmocka_unit_test(a_connection_that_the_server_closed_while_idle_is_never_leased_and_is_learned_from),
        cmocka_unit_test(a_server_that_speaks_unasked_loses_the_connection),
        cmocka_unit_test(what_cannot_be_sent_twice_takes_a_young_connection_or_a_new_one),
        cmocka_unit_test(
            after_one_was_lost_what_cannot_be_sent_twice_takes_no_connection_of_who_closes_at_once),
        cmocka_unit_test(a_connection_that_dies_at_reuse_tells_how_patient_its_server_is),
        cmocka_unit_test(only_the_silent_death_of_a_kept_connection_says_that_it_was_closed),
        cmocka_unit_test(a_refused_connection_counts_nothing_and_three_eject),
        cmocka_unit_test(a_connection_with_capacity_gives_its_streams_before_another_is_opened),
        cmocka_unit_test(a_success_is_told_only_after_a_failure),
        cmocka_unit_test(whom_the_operator_takes_out_keeps_no_idle_connections),
        cmocka_unit_test(of_idle_connections_so_many_close_a_turn),
        cmocka_unit_test(whose_clients_have_its_cookie_keeps_idle_connections_while_it_drains),
        cmocka_unit_test(a_target_is_reached_from_the_servers_address),
        cmocka_unit_test(an_idle_connection_is_used_again_for_the_same_target_only),
        cmocka_unit_test(where_there_is_no_room_the_oldest_idle_connection_to_a_target_makes_way),
        cmocka_unit_test(nothing_is_learned_of_a_local_address_from_what_targets_do),
        cmocka_unit_test(an_address_that_is_not_ours_is_a_failure_to_connect),
        cmocka_unit_test(targets_belong_to_egress_pools_and_to_no_others),
        cmocka_unit_test(two_workers_together_open_no_more_connections_than_the_cap),
        cmocka_unit_test(an_idle_connection_of_one_worker_makes_way_for_another),
        cmocka_unit_test(at_the_cap_an_idle_connection_too_old_for_a_request_makes_way_for_a_new_one),
        cmocka_unit_test(freed_slots_are_passed_to_waiting_workers_in_turn),
        cmocka_unit_test(one_workers_queue_is_first_in_first_out_and_bounded),
        cmocka_unit_test(nobody_overtakes_those_who_wait),
        cmocka_unit_test(who_had_his_turn_in_vain_waits_in_front),
        cmocka_unit_test(a_slot_freed_just_before_the_wait_is_found),
        cmocka_unit_test(who_waits_again_after_an_attempt_is_woken_like_others),
        cmocka_unit_test(a_slot_offered_to_one_who_has_given_up_goes_on_to_the_next),
        cmocka_unit_test(a_slot_that_its_receiver_does_not_want_goes_on_to_the_next),
        cmocka_unit_test(a_server_that_comes_back_into_a_set_that_kept_it_is_told_to_those_who_wait),
        cmocka_unit_test(a_free_slot_of_a_standby_server_is_offered_too),
        cmocka_unit_test(a_server_that_comes_back_is_told_to_those_who_wait),
        cmocka_unit_test(nobody_waits_beside_a_free_slot_whatever_the_order_of_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
