/* A connection on its way from one worker to another: what becomes of it, whatever becomes of that one meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "base/count.h"
#include "proxy/change.h"
#include "proxy/hand_over.h"
#include "proxy/listener.h"
#include "proxy/proxy_conf.h"
#include "proxy/worker_life.h"

/* That worker 0 says it has, so that it hands over what comes. */
#define PRETENDED 20
#define TURNS 10000

struct both {
    struct scene scene;
    struct worker *from, *to;
    struct listener *listener;
};

static void pretend(struct both *b, int32_t count)
{
    count_add(&b->from->live.client_connections, count);
    b->scene.proxy->connections += (uint32_t)count;
}

static void open_both(struct both *b)
{
    scene_open(&b->scene, false);
    one_server(&b->scene);
    b->scene.more_workers = 1;
    scene_start(&b->scene);
    b->from = b->scene.proxy->workers[0];
    b->to = b->scene.proxy->workers[1];
    b->listener = b->scene.proxy->listeners[0];
    pretend(b, PRETENDED);
}

static void close_both(struct both *b)
{
    pretend(b, -PRETENDED);
    assert_int_equal(b->scene.proxy->connections, 0);
    assert_int_equal(b->listener->connections, 0);
    scene_close(&b->scene);
}

/* The client's end of a connection that is in the other worker's box. */
static int hand_over(struct both *b)
{
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    assert_true(hand_over_begin(&b->listener->workers[0], ends[1]));
    assert_int_equal(b->listener->connections, 1);
    assert_int_equal(b->scene.proxy->connections, PRETENDED + 1);
    assert_false(worker_is_idle(b->to));
    return ends[0];
}

static bool has_ended(int fd)
{
    char byte;
    return recv(fd, &byte, 1, 0) == 0;
}

static void read_until(struct worker *w, int fd, const char *ending, char said[4096])
{
    size_t len = 0;
    for (int i = 0; i < TURNS; i++) {
        ssize_t got = recv(fd, said + len, 4095 - len, 0);
        if (got > 0) len += (size_t)got;
        said[len] = 0;
        if (strstr(said, ending)) return;
        loop_turn(&w->loop, 0);
    }
    fail_msg("in vain waited for %s; came: %s", ending, said);
}

static void it_is_the_other_workers_once_that_turns(void **state)
{
    (void)state;
    struct both b;
    open_both(&b);
    int client = hand_over(&b);
    loop_turn(&b.to->loop, 0);
    assert_int_equal(b.to->share.arriving, 0);
    assert_int_equal(b.to->live.client_connections, 1);
    assert_int_equal(b.listener->connections, 1);
    assert_int_equal(b.scene.proxy->connections, PRETENDED + 1);
    assert_false(worker_is_idle(b.to));
    close(client);
    worker_kill(b.to);
    close_both(&b);
}

static void one_that_drains_serves_it_once(void **state)
{
    (void)state;
    struct both b;
    char said[4096];
    open_both(&b);
    worker_drain(b.to, false);
    int client = hand_over(&b);
    say(client, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    int server = -1;
    for (int i = 0; i < TURNS && server < 0; i++) {
        loop_turn(&b.to->loop, 0);
        server = accept4(b.scene.listening[0], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    read_until(b.to, server, "\r\n\r\n", said);
    say(server, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    read_until(b.to, client, "\r\n\r\nok", said);
    assert_non_null(strcasestr(said, "\r\nconnection: close\r\n"));
    for (int i = 0; i < TURNS && !worker_is_idle(b.to); i++) loop_turn(&b.to->loop, 0);
    assert_true(worker_is_idle(b.to) && has_ended(client));
    b.from->share.turn = UINT64_MAX;                                /* another turn */
    assert_false(hand_over_begin(&b.listener->workers[0], client)); /* it has left: no more */
    close(client);
    close(server);
    worker_kill(b.to);
    close_both(&b);
}

static void one_that_ends_closes_it(void **state)
{
    (void)state;
    struct both b;
    open_both(&b);
    int client = hand_over(&b);
    loop_stop(&b.to->loop);
    worker_kill(b.to);
    assert_true(has_ended(client));
    assert_int_equal(b.to->share.arriving, 0);
    b.from->share.turn = UINT64_MAX;                                /* another turn */
    assert_false(hand_over_begin(&b.listener->workers[0], client)); /* who has ended is handed none */
    close(client);
    close_both(&b);
}

/* Under another name at the same address it is another listener. */
static void rename_listener(struct both *b, struct listener_conf *listener, struct proxy_conf *conf)
{
    struct proxy_change change;
    struct err err = { "" };
    *listener = b->scene.listener;
    listener->name = "renamed";
    *conf = b->scene.conf;
    conf->listeners = (struct conf_items){ listener, 1 };
    if (proxy_prepare_change(&change, b->scene.proxy, conf, NULL, &err) < 0) fail_msg("%s", err.text);
    proxy_commit_change(&change, NULL);
}

static void look(struct both *b, struct worker *other)
{
    for (int i = 0; i < 40; i++) {
        retire_look(b->scene.proxy);
        loop_turn(&b->to->loop, 0);
        if (other) loop_turn(&other->loop, 0);
        loop_turn(&b->scene.control, 0);
    }
}

/* Who has not heard of another configuration yet goes on taking for what that has no more. */
static void it_arrives_at_a_listener_that_has_gone(void **state)
{
    (void)state;
    struct both b;
    struct listener_conf renamed;
    struct proxy_conf conf;
    open_both(&b);
    rename_listener(&b, &renamed, &conf);
    look(&b, NULL);
    int client = hand_over(&b);
    loop_turn(&b.to->loop, 0);
    assert_int_equal(b.to->live.client_connections, 1);
    close(client);
    pretend(&b, -PRETENDED);
    look(&b, b.from);
    assert_int_equal(b.scene.proxy->retirement.count, 0);
    assert_int_equal(b.scene.proxy->connections, 0);
    worker_kill(b.to);
    scene_close(&b.scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_the_other_workers_once_that_turns),
        cmocka_unit_test(one_that_drains_serves_it_once),
        cmocka_unit_test(one_that_ends_closes_it),
        cmocka_unit_test(it_arrives_at_a_listener_that_has_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
