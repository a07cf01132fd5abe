/* Sessions of datagrams through a whole worker: the test is clients and servers, and says when time passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "base/count.h"
#include "net/loopback.h"
#include "proxy/change.h"
#include "proxy/descriptors.h"
#include "proxy/listener.h"
#include "proxy/proxy_conf.h"
#include "proxy/udp_conf.h"
#include "proxy/udp_listener.h"
#include "proxy/worker_life.h"
#include "record/flight_ring.h"

#define WAIT_TURNS 2000
#define IDLE_MS 5000

/* The kernel's part, where it is to have no port left for weir's sockets. */
static bool is_out_of_ports;

int connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    static int (*next)(int, const struct sockaddr *, socklen_t);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "connect");
    if (!is_out_of_ports) return next(fd, addr, len);
    errno = EAGAIN;
    return -1;
}

/* The kernel's part, where a router between weir and a server is to have said that what was sent was too large for the next link. */
static bool is_said_too_large;

int recvmmsg(int fd, struct mmsghdr *vmessages, unsigned vlen, int flags, struct timespec *tmo)
{
    struct address peer = { .len = sizeof(peer.sa) };
    bool is_connected = getpeername(fd, &peer.sa.any, &peer.len) == 0;
    if (!is_said_too_large || !is_connected)
        return (int)syscall(SYS_recvmmsg, fd, vmessages, vlen, flags, tmo);
    is_said_too_large = false;
    errno = EMSGSIZE;
    return -1;
}

int sendmmsg(int fd, struct mmsghdr *vmessages, unsigned vlen, int flags)
{
    if (!is_said_too_large || vmessages->msg_hdr.msg_name)
        return (int)syscall(SYS_sendmmsg, fd, vmessages, vlen, flags);
    is_said_too_large = false;
    errno = EMSGSIZE;
    return -1;
}

struct udp_scene {
    struct scene s;
    int servers[SERVERS]; /* -1: nobody is there */
};

static void open_scene(struct udp_scene *u)
{
    scene_open(&u->s, false);
    for (int i = 0; i < SERVERS; i++)
        u->servers[i] = loopback_open(SOCK_DGRAM | SOCK_NONBLOCK, &u->s.servers[i].address);
    u->s.listener.protocol = LISTENER_UDP;
    u->s.listener.udp =
        (struct udp_conf){ .idle_ms = IDLE_MS, .buffer_bytes = 1 << 20, .responses = 1, .sessions = 100 };
}

static void lose_server(struct udp_scene *u, int which)
{
    close(u->servers[which]);
    u->servers[which] = -1;
}

static void close_scene(struct udp_scene *u)
{
    for (int i = 0; i < SERVERS; i++)
        if (u->servers[i] >= 0) close(u->servers[i]);
    scene_close(&u->s);
}

static int client_open(const struct udp_scene *u)
{
    const struct address *a = &u->s.listener.bind;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(connect(fd, &a->sa.any, a->len), 0);
    return fd;
}

/* The next datagram; `from` may be NULL. */
static void hears(struct udp_scene *u, int fd, const char *text, struct address *from)
{
    char got[256];
    struct address peer = { .len = sizeof(peer.sa) };
    for (int i = 0; i < WAIT_TURNS; i++) {
        ssize_t len = recvfrom(fd, got, sizeof(got) - 1, 0, &peer.sa.any, &peer.len);
        if (len >= 0) {
            got[len] = 0;
            assert_string_equal(got, text);
            if (from) *from = peer;
            return;
        }
        turns(&u->s, 1);
    }
    fail_msg("in vain waited for %s", text);
}

static bool is_silent(struct udp_scene *u, int fd)
{
    char got[8];
    turns(&u->s, 5);
    return recv(fd, got, sizeof(got), 0) < 0 && errno == EAGAIN;
}

static void answer(const struct udp_scene *u, int which, const struct address *to, const char *text)
{
    assert_int_equal(sendto(u->servers[which], text, strlen(text), 0, &to->sa.any, to->len), strlen(text));
}

static uint32_t sessions(const struct udp_scene *u)
{
    return count_get(&u->s.worker->live.tunnels);
}

static uint64_t refused(const struct udp_scene *u, enum end_reason reason)
{
    return metric_sum(u->s.proxy->metrics, u->s.proxy->listeners[0]->meter_refused[reason]);
}

static void ask(struct udp_scene *u, int client, int which)
{
    struct address from;
    say(client, "what?");
    hears(u, u->servers[which], "what?", &from);
    answer(u, which, &from, "that");
    hears(u, client, "that", NULL);
}

static void with_its_last_answer_a_session_is_over(void **state)
{
    (void)state;
    struct udp_scene u;
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    int client = client_open(&u);
    ask(&u, client, 0);
    assert_int_equal(sessions(&u), 0);
    struct flight_record r = last_record(&u.s);
    assert_int_equal(r.end, END_OK);
    assert_int_equal(r.datagrams_in, 1);
    assert_int_equal(r.datagrams_out, 1);
    assert_int_equal(r.bytes_in, 5);
    assert_int_equal(r.bytes_out, 4);
    assert_true(r.flags & FLIGHT_UDP);
    assert_int_equal(r.attempts[0].end, END_OK);
    ask(&u, client, 0); /* from the same port */
    assert_int_equal(flight_written(u.s.worker->flights), 2);
    close(client);
    close_scene(&u);
}

static void each_client_gets_its_own_answers(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from[40];
    char text[16];
    int clients[40];
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    for (int i = 0; i < 40; i++) {
        clients[i] = client_open(&u);
        snprintf(text, sizeof(text), "ask %d", i);
        say(clients[i], text);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof(text), "ask %d", i);
        hears(&u, u.servers[0], text, &from[i]);
    }
    assert_int_equal(sessions(&u), 40);
    for (int i = 40; i-- > 0;) {
        snprintf(text, sizeof(text), "say %d", i);
        answer(&u, 0, &from[i], text);
    }
    for (int i = 0; i < 40; i++) {
        snprintf(text, sizeof(text), "say %d", i);
        hears(&u, clients[i], text, NULL);
        assert_true(is_silent(&u, clients[i]));
        close(clients[i]);
    }
    assert_int_equal(sessions(&u), 0);
    close_scene(&u);
}

static void what_nobody_but_the_server_sends_is_passed_on(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from;
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    int client = client_open(&u);
    say(client, "what?");
    hears(&u, u.servers[0], "what?", &from);
    answer(&u, 1, &from, "forged");
    assert_true(is_silent(&u, client));
    answer(&u, 0, &from, "that");
    hears(&u, client, "that", NULL);
    close(client);
    close_scene(&u);
}

static void a_port_that_is_closed_costs_no_answer(void **state)
{
    (void)state;
    struct udp_scene u;
    open_scene(&u);
    lose_server(&u, 0);
    scene_start(&u.s);
    for (int i = 0; i < 4; i++) {
        int client = client_open(&u);
        ask(&u, client, 1);
        close(client);
    }
    struct flight_record r;
    uint32_t refused = 0;
    for (uint64_t i = 0; i < flight_written(u.s.worker->flights); i++) {
        assert_true(flight_read(u.s.worker->flights, i, &r));
        assert_int_equal(r.end, END_OK);
        refused += r.attempt_count == 2 && r.attempts[0].end == END_CONNECT_REFUSED;
    }
    assert_true(refused > 0);
    close_scene(&u);
}

static void where_all_refuse_the_session_ends_and_says_so(void **state)
{
    (void)state;
    struct udp_scene u;
    open_scene(&u);
    lose_server(&u, 0);
    lose_server(&u, 1);
    scene_start(&u.s);
    int client = client_open(&u);
    say(client, "what?");
    turns(&u.s, 20);
    assert_int_equal(sessions(&u), 0);
    struct flight_record r = last_record(&u.s);
    assert_int_equal(r.end, END_CONNECT_REFUSED);
    assert_int_equal(r.attempt_count, 2);
    close(client);
    close_scene(&u);
}

static void an_answer_that_does_not_come_is_the_servers_failure(void **state)
{
    (void)state;
    struct udp_scene u;
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    int client = client_open(&u);
    say(client, "what?");
    hears(&u, u.servers[0], "what?", NULL);
    pass_time(&u.s, IDLE_MS - 1000);
    say(client, "again?"); /* that the client asks again says nothing of the server */
    hears(&u, u.servers[0], "again?", NULL);
    assert_int_equal(sessions(&u), 1);
    pass_time(&u.s, 1100);
    assert_int_equal(sessions(&u), 0);
    struct flight_record r = last_record(&u.s);
    assert_int_equal(r.end, END_FIRST_BYTE_TIMEOUT);
    assert_int_equal(r.datagrams_in, 2);
    close(client);
    close_scene(&u);
}

static bool is_port_taken(const struct address *at)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_taken = bind(fd, &at->sa.any, at->len) < 0 && errno == EADDRINUSE;
    close(fd);
    return is_taken;
}

static uint64_t unasked(const struct udp_scene *u)
{
    return metric_sum(u->s.proxy->metrics, u->s.proxy->listeners[0]->udp.dropped[UDP_DROP_UNASKED]);
}

/* The next session would be given its port, and would be over with the answer to another client. */
static void who_waits_in_vain_leaves_its_port_to_nobody_for_a_while(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from[2];
    int clients[2];
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    for (int i = 0; i < 2; i++) {
        clients[i] = client_open(&u);
        say(clients[i], "what?");
        hears(&u, u.servers[0], "what?", &from[i]);
    }
    pass_time(&u.s, IDLE_MS + 1);
    assert_int_equal(sessions(&u), 0);
    assert_int_equal(last_record(&u.s).end, END_FIRST_BYTE_TIMEOUT);
    assert_int_equal(atomic_load(&u.s.proxy->udp_sessions), 2);
    for (int i = 0; i < 2; i++) assert_true(is_port_taken(&from[i]));
    answer(&u, 0, &from[0], "late");
    for (int i = 0; i < 2; i++) assert_true(is_silent(&u, clients[i]));
    assert_int_equal(unasked(&u), 1);
    assert_false(is_port_taken(&from[0])); /* nothing more is due */
    ask(&u, clients[1], 0);                /* its next session is another */
    assert_true(is_port_taken(&from[1]));
    pass_time(&u.s, IDLE_MS + 1);
    assert_false(is_port_taken(&from[1]));
    assert_int_equal(atomic_load(&u.s.proxy->udp_sessions), 0);
    assert_int_equal(flight_written(u.s.worker->flights), 3);
    for (int i = 0; i < 2; i++) close(clients[i]);
    close_scene(&u);
}

/* Those of one flow come as one once there were many, and no more of them than are due go on. */
static void of_answers_that_come_as_one_only_what_is_due_is_passed_on(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from;
    char text[16];
    int size = 4;
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    int client = client_open(&u);
    for (int i = 0; i < 41; i++) {
        snprintf(text, sizeof(text), "ask %d", i);
        say(client, text);
        hears(&u, u.servers[0], text, &from);
    }
    for (int i = 0; i < 40; i++) {
        answer(&u, 0, &from, "that");
        hears(&u, client, "that", NULL);
    }
    assert_int_equal(sessions(&u), 1);
    assert_int_equal(setsockopt(u.servers[0], SOL_UDP, 103 /* UDP_SEGMENT */, &size, sizeof(size)), 0);
    answer(&u, 0, &from, "thismoremore");
    hears(&u, client, "this", NULL);
    assert_true(is_silent(&u, client));
    assert_int_equal(sessions(&u), 0);
    assert_int_equal(unasked(&u), 2);
    assert_int_equal(last_record(&u.s).datagrams_out, 41);
    close(client);
    close_scene(&u);
}

static void who_waits_in_vain_keeps_nobody_out(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from;
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    int client = client_open(&u), other = client_open(&u);
    say(client, "what?");
    hears(&u, u.servers[0], "what?", &from);
    pass_time(&u.s, IDLE_MS + 1);
    u.s.proxy->udp_session_limit = 1;
    assert_true(is_port_taken(&from));
    ask(&u, other, 0);
    assert_int_equal(refused(&u, END_NO_PORTS), 0);
    assert_false(is_port_taken(&from));
    say(client, "what?");
    hears(&u, u.servers[0], "what?", &from);
    pass_time(&u.s, IDLE_MS + 1);
    assert_true(is_port_taken(&from));
    worker_drain(u.s.worker, false);
    turns(&u.s, 2);
    assert_false(is_port_taken(&from));
    close(client);
    close(other);
    close_scene(&u);
}

/* What is held counts as the one descriptor that it has, and makes way for who needs it. */
static void who_waits_in_vain_has_a_descriptor_until_another_needs_it(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from;
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    int client = client_open(&u), other = client_open(&u);
    say(client, "what?");
    hears(&u, u.servers[0], "what?", &from);
    assert_int_equal(descriptors_used(u.s.proxy), 1);
    pass_time(&u.s, IDLE_MS + 1);
    assert_true(is_port_taken(&from));
    assert_int_equal(descriptors_used(u.s.proxy), 1);
    u.s.proxy->descriptor_limit = 1;
    ask(&u, other, 0);
    assert_int_equal(refused(&u, END_NO_DESCRIPTORS), 0);
    assert_false(is_port_taken(&from));
    assert_int_equal(descriptors_used(u.s.proxy), 0);
    close(client);
    close(other);
    close_scene(&u);
}

/* The bound: with more of them, who has been one for longest is none any more. */
static void only_so_many_ports_are_left_to_nobody(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address first, from;
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    open_scene(&u);
    u.s.listener.udp.sessions = UDP_HELD_MAX + 10;
    one_server(&u.s);
    scene_start(&u.s);
    const struct udp_listener *listener = u.s.proxy->listeners[0]->workers[0].udp;
    u.s.proxy->connection_limit = 2 * UDP_HELD_MAX;
    /* A client's port may be one that another had before: then it is the same session. */
    for (uint32_t i = 0; sessions(&u) < UDP_HELD_MAX + 4; i++) {
        int client = client_open(&u);
        say(client, "what?");
        hears(&u, u.servers[0], "what?", i ? &from : &first);
        close(client);
    }
    for (int i = 0; i < 8; i++) pass_time(&u.s, i ? 5 : IDLE_MS); /* so many a turn */
    assert_int_equal(sessions(&u), 0);
    assert_int_equal(listener->held_count, UDP_HELD_MAX);
    assert_int_equal(atomic_load(&u.s.proxy->udp_sessions), UDP_HELD_MAX);
    assert_false(is_port_taken(&first));
    assert_true(is_port_taken(&from));
    for (int i = 0; i < 8; i++) pass_time(&u.s, i ? 5 : IDLE_MS); /* so many a turn */
    assert_int_equal(listener->held_count, 0);
    close_scene(&u);
}

static void without_a_number_of_answers_silence_ends_a_session(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from;
    open_scene(&u);
    one_server(&u.s);
    u.s.listener.udp.responses = 0;
    scene_start(&u.s);
    int client = client_open(&u);
    ask(&u, client, 0);
    assert_int_equal(sessions(&u), 1);
    pass_time(&u.s, IDLE_MS - 1000);
    say(client, "more");
    hears(&u, u.servers[0], "more", &from);
    pass_time(&u.s, IDLE_MS - 1000);
    assert_int_equal(sessions(&u), 1);
    answer(&u, 0, &from, "late"); /* nobody asked: it is passed on */
    hears(&u, client, "late", NULL);
    pass_time(&u.s, IDLE_MS - 1000);
    assert_int_equal(sessions(&u), 1);
    pass_time(&u.s, 1100);
    assert_int_equal(sessions(&u), 0);
    assert_int_equal(last_record(&u.s).end, END_IDLE_TIMEOUT);
    close(client);
    close_scene(&u);
}

static void at_the_bound_only_who_is_silent_makes_way(void **state)
{
    (void)state;
    struct udp_scene u;
    int clients[4];
    open_scene(&u);
    one_server(&u.s);
    u.s.listener.udp.responses = 0;
    u.s.listener.udp.sessions = 2;
    scene_start(&u.s);
    for (int i = 0; i < 4; i++) clients[i] = client_open(&u);
    ask(&u, clients[0], 0);
    ask(&u, clients[1], 0);
    say(clients[2], "what?");
    assert_true(is_silent(&u, u.servers[0])); /* nobody was silent for a second */
    assert_int_equal(refused(&u, END_CONNECTION_LIMIT), 1);
    pass_time(&u.s, UDP_QUIET_MS);
    ask(&u, clients[1], 0);
    ask(&u, clients[3], 0);
    assert_int_equal(sessions(&u), 2);
    assert_int_equal(last_record(&u.s).end, END_DISPLACED);
    ask(&u, clients[1], 0); /* whose session it was not */
    assert_int_equal(flight_written(u.s.worker->flights), 1);
    for (int i = 0; i < 4; i++) close(clients[i]);
    close_scene(&u);
}

static void that_no_port_is_left_is_no_failure_of_a_server(void **state)
{
    (void)state;
    struct udp_scene u;
    open_scene(&u);
    scene_start(&u.s);
    int client = client_open(&u);
    say(client, "what?");
    is_out_of_ports = true;
    turns(&u.s, 5);
    is_out_of_ports = false;
    assert_int_equal(sessions(&u), 0);
    struct flight_record r = last_record(&u.s);
    assert_int_equal(r.end, END_NO_PORTS);
    assert_int_equal(r.attempt_count, 1); /* for the next server there would be none either */
    const struct roster *roster = u.s.proxy->pools[0]->roster;
    for (int i = 0; i < SERVERS; i++)
        assert_int_equal(metric_sum(u.s.proxy->metrics, roster->places[i].server->meter_failures), 0);
    close(client);
    close_scene(&u);
}

static void what_was_too_large_for_the_way_is_no_failure_of_a_server(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from;
    open_scene(&u);
    one_server(&u.s);
    u.s.listener.udp.responses = 0;
    scene_start(&u.s);
    int client = client_open(&u);
    say(client, "what?");
    hears(&u, u.servers[0], "what?", &from);
    answer(&u, 0, &from, "that");
    is_said_too_large = true; /* weir hears of it where it would take the answer */
    hears(&u, client, "that", NULL);
    say(client, "more?");
    is_said_too_large = true; /* and where it would send more */
    hears(&u, u.servers[0], "more?", NULL);
    assert_false(is_said_too_large);
    assert_int_equal(sessions(&u), 1);
    assert_int_equal(metric_sum(u.s.proxy->metrics, u.s.proxy->listeners[0]->udp.dropped[UDP_DROP_TOO_LARGE]),
                     1);
    const struct server *server = u.s.proxy->pools[0]->roster->places[0].server;
    assert_int_equal(metric_sum(u.s.proxy->metrics, server->meter_failures), 0);
    close(client);
    close_scene(&u);
}

/* The last of them are costly to find. */
static void where_few_ports_are_left_only_who_is_silent_makes_way(void **state)
{
    (void)state;
    struct udp_scene u;
    int clients[3];
    open_scene(&u);
    one_server(&u.s);
    u.s.listener.udp.responses = 0;
    scene_start(&u.s);
    u.s.proxy->udp_session_limit = 1;
    for (int i = 0; i < 3; i++) clients[i] = client_open(&u);
    ask(&u, clients[0], 0);
    say(clients[1], "what?");
    assert_true(is_silent(&u, u.servers[0]));
    assert_int_equal(refused(&u, END_NO_PORTS), 1);
    pass_time(&u.s, UDP_QUIET_MS);
    ask(&u, clients[2], 0);
    assert_int_equal(sessions(&u), 1);
    assert_int_equal(last_record(&u.s).end, END_DISPLACED);
    for (int i = 0; i < 3; i++) close(clients[i]);
    close_scene(&u);
}

static void more_than_a_turn_may_take_is_taken_in_the_next(void **state)
{
    (void)state;
    struct udp_scene u;
    char text[32];
    open_scene(&u);
    one_server(&u.s);
    u.s.listener.udp.responses = 0;
    scene_start(&u.s);
    int client = client_open(&u), room = 4 << 20;
    setsockopt(u.servers[0], SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    turns(&u.s, 2);
    for (uint32_t i = 0; i < UDP_TURN_DATAGRAMS + 10; i++) {
        snprintf(text, sizeof(text), "%u%s", i, i % 2 ? "+" : ""); /* of several lengths */
        say(client, text);
    }
    turns(&u.s, 1);
    for (uint32_t i = 0; i < UDP_TURN_DATAGRAMS; i++) {
        char got[32] = "";
        snprintf(text, sizeof(text), "%u%s", i, i % 2 ? "+" : "");
        assert_true(recv(u.servers[0], got, sizeof(got), 0) > 0);
        assert_string_equal(got, text);
    }
    turns(&u.s, 1);
    for (uint32_t i = UDP_TURN_DATAGRAMS; i < UDP_TURN_DATAGRAMS + 10; i++) {
        snprintf(text, sizeof(text), "%u%s", i, i % 2 ? "+" : "");
        hears(&u, u.servers[0], text, NULL);
    }
    close(client);
    close_scene(&u);
}

/* Another configuration, whose pool has the second server alone. */
static void use_second_server(struct udp_scene *u)
{
    static struct pool_conf pool; /* for as long as it is in force */
    static struct proxy_conf conf;
    struct proxy_change change;
    struct err err = { "" };
    pool = u->s.pool;
    conf = u->s.conf;
    pool.servers.data = &u->s.servers[1];
    conf.pools.data = &pool;
    assert_int_equal(proxy_prepare_change(&change, u->s.proxy, &conf, NULL, &err), 0);
    proxy_commit_change(&change, NULL);
    turns(&u->s, 2);
}

static void a_server_that_is_taken_out_is_left_with_the_next_datagram(void **state)
{
    (void)state;
    struct udp_scene u;
    open_scene(&u);
    u.s.listener.udp.responses = 0;
    one_server(&u.s);
    scene_start(&u.s);
    int client = client_open(&u);
    ask(&u, client, 0);
    use_second_server(&u);
    assert_int_equal(sessions(&u), 1);
    ask(&u, client, 1);
    assert_int_equal(last_record(&u.s).end, END_MOVED);
    close(client);
    pass_time(&u.s, IDLE_MS + 1);
    for (int i = 0; i < 40; i++) {
        retire_look(u.s.proxy);
        turns(&u.s, 1);
        loop_turn(&u.s.control, 0);
    }
    assert_int_equal(u.s.proxy->retirement.count, 0);
    close_scene(&u);
}

/* Of a client that never ceases to ask some are never answered: it would be at the old server for ever. */
static void a_server_that_is_taken_out_is_left_also_where_answers_are_due(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from, lost;
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    int client = client_open(&u);
    say(client, "lost?");
    hears(&u, u.servers[0], "lost?", &lost);
    use_second_server(&u);
    say(client, "what?");
    hears(&u, u.servers[1], "what?", &from);
    assert_int_equal(sessions(&u), 2);
    answer(&u, 1, &from, "that");
    hears(&u, client, "that", NULL);
    answer(&u, 0, &lost, "found"); /* it was only late */
    hears(&u, client, "found", NULL);
    assert_int_equal(sessions(&u), 0);
    assert_int_equal(last_record(&u.s).end, END_OK);
    close(client);
    close_scene(&u);
}

static int buffer_of(const struct udp_scene *u)
{
    int bytes = 0;
    socklen_t len = sizeof(bytes);
    int fd = u->s.proxy->listeners[0]->workers[0].udp->sockets->fd;
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, &len), 0);
    return bytes;
}

static void a_reload_gives_a_listener_its_new_bounds(void **state)
{
    (void)state;
    struct udp_scene u;
    struct proxy_change change;
    struct err err = { "" };
    open_scene(&u);
    u.s.listener.udp.buffer_bytes = 16384;
    scene_start(&u.s);
    const struct udp_listener *listener = u.s.proxy->listeners[0]->workers[0].udp;
    int before = buffer_of(&u);
    assert_true(listener->table.mask < 4999);
    struct listener_conf more = u.s.listener;
    struct proxy_conf conf = u.s.conf;
    more.udp.buffer_bytes = 65536;
    more.udp.sessions = 5000;
    conf.listeners.data = &more;
    assert_int_equal(proxy_prepare_change(&change, u.s.proxy, &conf, NULL, &err), 0);
    proxy_commit_change(&change, NULL);
    turns(&u.s, 2);
    assert_int_equal(buffer_of(&u), 4 * before);
    assert_true(listener->table.mask >= 4999);
    close_scene(&u);
}

static void who_leaves_answers_what_was_asked_and_begins_nothing(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from;
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    int client = client_open(&u), late = client_open(&u), other = client_open(&u);
    say(client, "what?");
    hears(&u, u.servers[0], "what?", &from);
    say(late, "late?"); /* waits already */
    worker_drain(u.s.worker, false);
    turns(&u.s, 2);
    struct address from_late;
    hears(&u, u.servers[0], "late?", &from_late);
    say(other, "too late?");
    assert_true(is_silent(&u, u.servers[0]));
    answer(&u, 0, &from, "that");
    hears(&u, client, "that", NULL);
    answer(&u, 0, &from_late, "this");
    hears(&u, late, "this", NULL);
    pass_time(&u.s, 100);
    pass_time(&u.s, 100);
    assert_null(u.s.proxy->listeners[0]->workers[0].udp->sockets); /* the port is closed */
    close(client);
    close(late);
    close(other);
    close_scene(&u);
}

static void whose_sockets_others_take_from_only_answers(void **state)
{
    (void)state;
    struct udp_scene u;
    struct address from;
    open_scene(&u);
    one_server(&u.s);
    scene_start(&u.s);
    int client = client_open(&u);
    say(client, "what?");
    hears(&u, u.servers[0], "what?", &from);
    int shared = dup(u.s.proxy->listeners[0]->workers[0].udp->sockets->fd); /* another process's */
    worker_drain(u.s.worker, true);
    turns(&u.s, 2);
    say(client, "again?");
    assert_true(is_silent(&u, u.servers[0]));
    char got[16] = "";
    assert_int_equal(recv(shared, got, sizeof(got), 0), 6);
    assert_string_equal(got, "again?");
    answer(&u, 0, &from, "that");
    hears(&u, client, "that", NULL);
    assert_int_equal(sessions(&u), 0);
    close(shared);
    close(client);
    close_scene(&u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_its_last_answer_a_session_is_over),
        cmocka_unit_test(each_client_gets_its_own_answers),
        cmocka_unit_test(what_nobody_but_the_server_sends_is_passed_on),
        cmocka_unit_test(a_port_that_is_closed_costs_no_answer),
        cmocka_unit_test(where_all_refuse_the_session_ends_and_says_so),
        cmocka_unit_test(an_answer_that_does_not_come_is_the_servers_failure),
        cmocka_unit_test(who_waits_in_vain_leaves_its_port_to_nobody_for_a_while),
        cmocka_unit_test(of_answers_that_come_as_one_only_what_is_due_is_passed_on),
        cmocka_unit_test(who_waits_in_vain_keeps_nobody_out),
        cmocka_unit_test(who_waits_in_vain_has_a_descriptor_until_another_needs_it),
        cmocka_unit_test(only_so_many_ports_are_left_to_nobody),
        cmocka_unit_test(without_a_number_of_answers_silence_ends_a_session),
        cmocka_unit_test(at_the_bound_only_who_is_silent_makes_way),
        cmocka_unit_test(that_no_port_is_left_is_no_failure_of_a_server),
        cmocka_unit_test(what_was_too_large_for_the_way_is_no_failure_of_a_server),
        cmocka_unit_test(where_few_ports_are_left_only_who_is_silent_makes_way),
        cmocka_unit_test(more_than_a_turn_may_take_is_taken_in_the_next),
        cmocka_unit_test(a_server_that_is_taken_out_is_left_with_the_next_datagram),
        cmocka_unit_test(a_server_that_is_taken_out_is_left_also_where_answers_are_due),
        cmocka_unit_test(a_reload_gives_a_listener_its_new_bounds),
        cmocka_unit_test(who_leaves_answers_what_was_asked_and_begins_nothing),
        cmocka_unit_test(whose_sockets_others_take_from_only_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
