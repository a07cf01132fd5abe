#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "balance/balance.h"
#include "base/rng.h"
#include "proxy/census.h"
#include "proxy/proxy_conf.h"
#include "proxy/proxy_life.h"
#include "proxy/worker_life.h"
#include "record/flight_ring.h"

#define WAIT_TURNS 2000
#define PORT_FIRST 11000 /* as ports.py has them */
#define PORT_LAST 31999
#define PORT_TRIES 10000

static void on_evidence(void *reader, const struct mail *m)
{
    (void)reader, (void)m;
}

/* Of all test processes, end-to-end tests too (ports.py), only who holds this name uses the port. -1: somebody does. */
static int lock_port(uint16_t port)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int len = snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "weir-e2e-port-%u", port);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&name,
             (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int listen_at(uint16_t port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, htons(port), { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 128) == 0) return fd;
    close(fd);
    return -1;
}

/* On a port that is this scene's until it is closed, also while nobody listens on it. It lies below those that the kernel gives out:
 * one of them may be another program's by the time that it is listened on. */
static int listen_somewhere(uint16_t *port, int *lock)
{
    struct rng rng;
    rng_seed_random(&rng);
    for (int i = 0; i < PORT_TRIES; i++) {
        *port = (uint16_t)(PORT_FIRST + rng_below(&rng, PORT_LAST - PORT_FIRST + 1));
        *lock = lock_port(*port);
        if (*lock < 0) continue;
        int fd = listen_at(*port);
        if (fd >= 0) return fd;
        close(*lock);
    }
    fail_msg("no free port");
    return -1;
}

static struct address loopback(uint16_t port)
{
    struct address a;
    struct err err;
    char text[32];
    snprintf(text, sizeof(text), "127.0.0.1:%u", port);
    assert_int_equal(address_parse(slice_of(text), false, &a, &err), 0);
    return a;
}

static const struct balance_method *method_by_name(const char *name)
{
    for (const struct balance_method *const *m = balance_methods; *m; m++)
        if (strcmp((*m)->name, name) == 0) return *m;
    return NULL;
}

/* Whatever a test does: what is counted is reached, between any two turns. */
static void check_census(const struct worker *w)
{
    struct census c = { 0 };
    census_take(w, &c);
    for (unsigned kind = 0; kind < CENSUS_KINDS; kind++) assert_int_equal(c.counted[kind], c.reached[kind]);
}

/* What is drawn is the same in every run, unless another seed is asked for: no test may need a certain one. */
static uint64_t seed(void)
{
    const char *text = getenv("WEIR_SCENE_SEED");
    return text ? strtoull(text, NULL, 10) : 1;
}

/* Turns until nothing moves any more: a bounded number, each without waiting. */
void turns(struct scene *s, int count)
{
    for (int i = 0; i < count; i++) {
        loop_turn(&s->worker->loop, 0);
        check_census(s->worker);
    }
}

void pass_time(struct scene *s, uint64_t ms)
{
    s->worker->loop.now_ns += ms * NS_PER_MS;
    turns(s, 3);
}

void scene_open(struct scene *s, bool is_tcp)
{
    memset(s, 0, sizeof(*s));
    s->retry_on[0] = RETRY_ON_CONNECT;
    s->retry_on[1] = RETRY_ON_RESET;
    for (int i = 0; i < SERVERS; i++) {
        s->listening[i] = listen_somewhere(&s->ports[i], &s->locks[i]);
        s->servers[i] =
            (struct server_conf){ .name = i ? "two" : "one", .address = loopback(s->ports[i]), .weight = 1 };
    }
    close(listen_somewhere(&s->port, &s->locks[SERVERS]));
    s->method = (struct conf_option){ .name = "round_robin", .object = method_by_name("round_robin") };
    s->pool = (struct pool_conf){
        .name = "web",
        .balance = { .option = &s->method },
        .servers = { s->servers, SERVERS },
        .host = "keep",
        .timeouts = { 1000, 2000, 3000, 4000, 60000, 5000, 6000, 0 },
        .queue = { 4 },
        .retry = { .how = { .attempts = 3, .buffer_bytes = 16384, .on = { s->retry_on, 2 } },
                   .budget = { 20, 3 } },
        .limits = { 65536, 128 },
        .idle_connections = 16
    };
    s->listener =
        (struct listener_conf){ .name = "web",
                                .bind = loopback(s->port),
                                .pool = "web",
                                .protocol = is_tcp ? LISTENER_TCP : LISTENER_HTTP,
                                .timeouts = { 10000, 7000, 8000, 9000 },
                                .limits = { .head_bytes = 8192, .headers = 64, .body_bytes = UINT64_MAX } };
    s->conf = (struct proxy_conf){ .listeners = { &s->listener, 1 },
                                   .pools = { &s->pool, 1 },
                                   .timeouts = { 30000 } };
}

void scene_start(struct scene *s)
{
    struct err err = { "" };
    s->budget.limit = 1 << 20;
    assert_int_equal(loop_init(&s->control, &s->budget, &err), 0);
    assert_int_equal(mailbox_new(&s->box, &s->control, s, 256, &err), 0);
    struct proxy_options o = { .conf = &s->conf,
                               .worker_count = 1 + s->more_workers,
                               .connection_limit = 1000,
                               .memory_limit = 64 << 20 };
    if (proxy_new(&s->proxy, &o, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(proxy_prepare(s->proxy, s->box, on_evidence, &err), 0);
    s->worker = s->proxy->workers[0];
    for (uint32_t i = 0; i <= s->more_workers; i++) {
        rng_seed(&s->proxy->workers[i]->loop.rng, seed() + i);
        assert_int_equal(worker_listen(s->proxy->workers[i], &err), 0);
        s->proxy->workers[i]->loop.is_virtual = true;
    }
}

/* Nothing may be left: no exchange, no connection, no block, no timer. */
void scene_close(struct scene *s)
{
    worker_kill(s->worker);
    turns(s, 3);
    assert_true(worker_is_idle(s->worker));
    assert_int_equal(s->worker->live.server_connections, 0);
    assert_int_equal(s->worker->loop.blocks.live, 0);
    assert_int_equal(s->worker->loop.timers.count, 0);
    for (uint32_t i = 0; i < s->proxy->pools[0]->roster->count; i++) {
        assert_int_equal(s->proxy->pools[0]->roster->places[i].server->peer.in_flight, 0);
        assert_int_equal(s->proxy->pools[0]->roster->places[i].server->peer.open_connections, 0);
    }
    for (int i = 0; i < SERVERS; i++)
        if (s->listening[i] >= 0) close(s->listening[i]);
    proxy_free(s->proxy);
    for (int i = 0; i <= SERVERS; i++) close(s->locks[i]);
    mailbox_free(s->box);
    loop_fini(&s->control);
}

int client_connect(struct scene *s)
{
    struct address a = loopback(s->port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, &a.sa.any, a.len), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    int on = 1; /* what is said is there in the next turn */
    assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    return fd;
}

void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

int server_accept(struct scene *s, int which)
{
    for (int i = 0; i < WAIT_TURNS; i++) {
        int fd = accept4(s->listening[which], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) return fd;
        turns(s, 1);
    }
    fail_msg("server %d was not connected to", which);
    return -1;
}

bool is_asked(struct scene *s, int which, int *fd)
{
    *fd = accept4(s->listening[which], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return *fd >= 0;
}

int first_asked(struct scene *s, const char *ending, int *which)
{
    int fd = -1;
    for (int i = 0; i < 1000 && fd < 0; i++) {
        turns(s, 1);
        for (*which = 0; *which < SERVERS; (*which)++)
            if (is_asked(s, *which, &fd)) break;
    }
    assert_true(fd >= 0);
    hear(s, fd, ending);
    return fd;
}

bool nobody_is_asked(struct scene *s)
{
    int fd;
    turns(s, 20);
    return !is_asked(s, 0, &fd) && !is_asked(s, 1, &fd);
}

/* Until `ending` has come at the end of what is read; what came is returned in a static buffer. */
const char *hear(struct scene *s, int fd, const char *ending)
{
    static char text[65536];
    size_t len = 0;
    for (int i = 0; i < WAIT_TURNS; i++) {
        ssize_t got = recv(fd, text + len, sizeof(text) - 1 - len, 0);
        if (got > 0) len += (size_t)got;
        text[len] = 0;
        size_t end = strlen(ending);
        if (len >= end && strcmp(text + len - end, ending) == 0) return text;
        if (got == 0) fail_msg("the end came after: %s", text);
        turns(s, 1);
    }
    fail_msg("in vain waited for %s; came: %s", ending, text);
    return NULL;
}

/* What comes until the end of the stream; "RESET" is added for a reset. */
const char *hear_all(struct scene *s, int fd)
{
    static char text[65536];
    size_t len = 0;
    for (int i = 0; i < WAIT_TURNS; i++) {
        ssize_t got = recv(fd, text + len, sizeof(text) - 16 - len, 0);
        if (got > 0) len += (size_t)got;
        text[len] = 0;
        if (got == 0) return text;
        if (got < 0 && errno == ECONNRESET) return strcat(text, "RESET");
        turns(s, 1);
    }
    fail_msg("no end came after: %s", text);
    return NULL;
}

struct flight_record last_record(struct scene *s)
{
    struct flight_record r = { 0 };
    uint64_t written = flight_written(s->worker->flights);
    assert_true(written > 0);
    assert_true(flight_read(s->worker->flights, written - 1, &r));
    return r;
}

void one_server(struct scene *s)
{
    s->pool.servers.count = 1;
}
