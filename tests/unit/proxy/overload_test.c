/* What a worker refuses that has more to do than it can: on a virtual clock, which goes on while others wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "pool/queue.h"
#include "proxy/worker_life.h"
#include "route/route_conf.h"

static void open_scene(struct scene *s, uint32_t priority)
{
    scene_open(s, false);
    one_server(s);
    s->conf.overload = (struct overload_conf){ .lag_ms = 100, .window_ms = 500 };
    s->routes[0] = (struct route_conf){ .name = "all", .pool = "web", .priority = priority };
    s->listener.pool = NULL;
    s->listener.routes = (struct conf_items){ s->routes, 1 };
    scene_start(s);
}

/* What has come in the meantime waited for so long: each turn begins that much late. */
static void lag(struct scene *s, uint64_t ms)
{
    s->worker->loop.now_ns += ms * NS_PER_MS;
    turns(s, 1);
}

/* What comes of a request over a connection that is open. */
static const char *ask(struct scene *s, int client)
{
    say(client, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    return hear(s, client, "\n");
}

static void be_late(struct scene *s, uint64_t ms, int times)
{
    for (int i = 0; i < times; i++) {
        (void)overload_refuses(s->worker, &s->worker->overload, s->worker->loop.now_ns, POOL_PRIORITY_HIGH);
        lag(s, ms);
    }
}

static uint64_t refused(const struct scene *s, enum overload_cause cause)
{
    return atomic_load(&s->worker->overload.states[cause].refused);
}

static bool is_on(const struct scene *s, enum overload_cause cause)
{
    return atomic_load(&s->worker->overload.states[cause].is_on);
}

static void who_waits_too_long_is_told_so(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, POOL_PRIORITY_LOW);
    int client = client_connect(&s);
    say(client, "GET /own HTTP/1.1\r\n"); /* a connection is taken with its first bytes */
    turns(&s, 3);
    say(client, "Host: h\r\n\r\n");
    int server = server_accept(&s, 0);
    hear(&s, server, "\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear(&s, client, "ok");
    be_late(&s, 150, 3);
    assert_false(is_on(&s, OVERLOAD_LAG));
    be_late(&s, 150, 40);
    assert_true(is_on(&s, OVERLOAD_LAG));
    assert_true(s.worker->overload.lag.pressure >= LAG_WHOLE); /* all of low class */
    for (int i = 0; i < 3; i++) {
        const char *answer = ask(&s, client); /* the connection stays open */
        assert_non_null(strstr(answer, "HTTP/1.1 503 "));
        assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
        assert_non_null(strstr(answer, "Reason: overloaded."));
        assert_int_equal(last_record(&s).end, END_OVERLOADED);
    }
    assert_int_equal(refused(&s, OVERLOAD_LAG), 3);
    char byte;
    assert_true(recv(server, &byte, 1, MSG_DONTWAIT) < 0); /* nothing has come to it */
    close(client);
    close(server);
    turns(&s, 3);
    scene_close(&s);
}

static void what_had_begun_goes_on(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, POOL_PRIORITY_LOW);
    int client = client_connect(&s);
    say(client, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    int server = server_accept(&s, 0);
    hear(&s, server, "\r\n\r\n");
    be_late(&s, 110, 10);
    assert_true(is_on(&s, OVERLOAD_LAG));
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    assert_non_null(strstr(hear(&s, client, "ok"), "HTTP/1.1 200 "));
    close(client);
    close(server);
    turns(&s, 3);
    scene_close(&s);
}

static void those_of_a_higher_class_are_served_while_there_are_lower_ones(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, POOL_PRIORITY_NORMAL);
    int client = client_connect(&s);
    be_late(&s, 110, 10);
    assert_true(is_on(&s, OVERLOAD_LAG));
    s.worker->overload.lag.pressure = LAG_WHOLE; /* all of low class */
    say(client, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    int server = server_accept(&s, 0);
    hear(&s, server, "\r\n\r\n");
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    hear(&s, client, "ok");
    assert_int_equal(refused(&s, OVERLOAD_LAG), 0);
    close(client);
    close(server);
    turns(&s, 3);
    scene_close(&s);
}

/* Without anybody who comes: the worker looks of itself until then, and not any more. */
static void it_is_over_by_and_by(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, POOL_PRIORITY_LOW);
    be_late(&s, 150, 20);
    assert_true(is_on(&s, OVERLOAD_LAG));
    assert_int_equal(s.worker->loop.timers.count, 1);
    for (int i = 0; i < 300 && is_on(&s, OVERLOAD_LAG); i++) pass_time(&s, 50);
    assert_false(is_on(&s, OVERLOAD_LAG));
    for (int i = 0; i < 30; i++) pass_time(&s, 100);
    assert_int_equal(s.worker->loop.timers.count, 0);
    int client = client_connect(&s);
    say(client, "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
    int server = server_accept(&s, 0);
    hear(&s, server, "\r\n\r\n");
    close(client);
    close(server);
    turns(&s, 5);
    scene_close(&s);
}

static void where_it_is_off_nothing_is_asked(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, false);
    one_server(&s);
    scene_start(&s);
    be_late(&s, 5000, 20);
    assert_false(is_on(&s, OVERLOAD_LAG));
    assert_false(s.worker->overload.is_asking);
    scene_close(&s);
}

#define LIMIT (64u << 20) /* scene_start()'s */

/* Somebody else has so much of what there is; what he is given back is returned. */
static uint64_t be_full(struct scene *s, unsigned percent)
{
    uint64_t bytes = (uint64_t)LIMIT * percent / 100;
    atomic_fetch_add(&s->proxy->budget.used, bytes);
    return bytes;
}

/* The same face: status, Retry-After, a name; and its connection gives its memory back. */
static void without_memory_low_classes_are_refused_first(void **state)
{
    (void)state;
    for (uint32_t priority = POOL_PRIORITY_HIGH; priority <= POOL_PRIORITY_LOW; priority++) {
        struct scene s;
        open_scene(&s, priority);
        int client = client_connect(&s);
        turns(&s, 3);
        say(client, "GET /a HTTP/1.1\r\n");
        turns(&s, 3);
        uint64_t taken = be_full(&s, 92);
        bool is_refused = overload_look(s.worker, priority) == END_NO_MEMORY;
        assert_int_equal(is_refused, priority == POOL_PRIORITY_LOW);
        taken += be_full(&s, 5);
        is_refused = overload_look(s.worker, priority) == END_NO_MEMORY;
        assert_int_equal(is_refused, priority != POOL_PRIORITY_HIGH);
        atomic_fetch_sub(&s.proxy->budget.used, taken);
        close(client);
        turns(&s, 3);
        scene_close(&s);
    }
}

static void what_memory_refuses_has_the_same_face(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, POOL_PRIORITY_LOW);
    int client = client_connect(&s);
    say(client, "GET /a HTTP/1.1\r\n");
    turns(&s, 3);
    uint64_t taken = be_full(&s, 94);
    s.worker->overload.look_ns = 0;
    say(client, "Host: h\r\n\r\n");
    const char *answer = hear_all(&s, client);
    assert_non_null(strstr(answer, "HTTP/1.1 503 "));
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    assert_non_null(strstr(answer, "Reason: no_memory."));
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    assert_true(is_on(&s, OVERLOAD_MEMORY));
    assert_int_equal(refused(&s, OVERLOAD_MEMORY), 1);
    int another = client_connect(&s);
    say(another, "G");
    turns(&s, 5);
    assert_int_equal(refused(&s, OVERLOAD_MEMORY), 2);
    atomic_fetch_sub(&s.proxy->budget.used, taken);
    pass_time(&s, 500);
    assert_true(is_on(&s, OVERLOAD_MEMORY));
    for (int i = 0; i < 20; i++) pass_time(&s, 100);
    assert_false(is_on(&s, OVERLOAD_MEMORY));
    close(client);
    close(another);
    turns(&s, 3);
    scene_close(&s);
}

/* The look that would have begun it comes, as the worker ends, with what else was under way. */
static void nothing_begins_once_the_worker_ends(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, POOL_PRIORITY_LOW);
    be_late(&s, 150, 3);
    assert_false(is_on(&s, OVERLOAD_LAG));
    (void)overload_refuses(s.worker, &s.worker->overload, s.worker->loop.now_ns, POOL_PRIORITY_HIGH);
    s.worker->loop.now_ns += 150 * NS_PER_MS;
    worker_kill(s.worker);
    assert_true(s.worker->overload.lag.is_over);
    assert_false(is_on(&s, OVERLOAD_LAG));
    assert_false(timer_is_armed(&s.worker->overload.timer));
    scene_close(&s);
}

/* Of a tcp listener the connection itself is refused, by the class of its one route. */
static void a_tcp_listener_refuses_connections(void **state)
{
    (void)state;
    struct scene s;
    scene_open(&s, true);
    one_server(&s);
    s.conf.overload = (struct overload_conf){ .lag_ms = 100, .window_ms = 500 };
    scene_start(&s);
    be_late(&s, 150, 20);
    assert_true(is_on(&s, OVERLOAD_LAG));
    s.worker->overload.lag.pressure = 2 * LAG_WHOLE;
    uint32_t closed = 0;
    for (int i = 0; i < 64; i++) {
        char byte;
        int client = client_connect(&s);
        turns(&s, 3);
        closed += recv(client, &byte, 1, MSG_DONTWAIT) == 0;
        close(client);
        turns(&s, 2);
    }
    assert_true(closed >= 48); /* of 60 that are to be expected */
    assert_int_equal(refused(&s, OVERLOAD_LAG), closed);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_too_long_is_told_so),
        cmocka_unit_test(what_had_begun_goes_on),
        cmocka_unit_test(those_of_a_higher_class_are_served_while_there_are_lower_ones),
        cmocka_unit_test(it_is_over_by_and_by),
        cmocka_unit_test(where_it_is_off_nothing_is_asked),
        cmocka_unit_test(without_memory_low_classes_are_refused_first),
        cmocka_unit_test(what_memory_refuses_has_the_same_face),
        cmocka_unit_test(nothing_begins_once_the_worker_ends),
        cmocka_unit_test(a_tcp_listener_refuses_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
