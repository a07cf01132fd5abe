/* A listener with many idle clients goes, or its worker drains: they end by and by, so many a turn, whatever comes in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "proxy/change.h"
#include "proxy/proxy_conf.h"
#include "proxy/round.h"
#include "proxy/worker.h"
#include "proxy/worker_life.h"

#define ASK "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
/* Of three turns. */
enum { CLIENTS = 2 * ROUND_CLOSES + 30 };

struct crowd {
    struct scene scene;
    struct listener_conf other;
    struct proxy_conf without; /* the listener that they are at */
    int clients[CLIENTS], server;
};

static void ask(struct crowd *c, int client)
{
    say(client, ASK);
    if (c->server < 0) c->server = server_accept(&c->scene, 0);
    hear(&c->scene, c->server, "\r\n\r\n");
    say(c->server, ANSWER);
    hear(&c->scene, client, "ok");
}

/* Each has had an answer, and is idle. */
static void gather(struct crowd *c)
{
    struct scene *s = &c->scene;
    scene_open(s, false);
    one_server(s);
    scene_start(s);
    c->server = -1;
    for (int i = 0; i < CLIENTS; i++) {
        c->clients[i] = client_connect(s);
        ask(c, c->clients[i]);
    }
    turns(s, 2);
    assert_int_equal(s->worker->live.client_connections, CLIENTS);
    close(s->listening[1]); /* which asks nobody: its port is free for another listener */
    s->listening[1] = -1;
    c->other = s->listener;
    c->other.name = "other";
    c->other.bind = s->servers[1].address;
    c->without = s->conf;
    c->without.listeners = (struct conf_items){ &c->other, 1 };
}

static void go_home(struct crowd *c)
{
    for (int i = 0; i < CLIENTS; i++)
        if (c->clients[i] >= 0) close(c->clients[i]);
    close(c->server);
    scene_close(&c->scene);
}

static void commit(struct scene *s, const struct proxy_conf *conf)
{
    struct proxy_change change;
    struct err err = { "" };
    if (proxy_prepare_change(&change, s->proxy, conf, NULL, &err) < 0) fail_msg("%s", err.text);
    proxy_commit_change(&change, NULL);
}

/* A turn, in which no more than so many end. Returns how many are left. */
static uint32_t turn(struct scene *s)
{
    const uint32_t *live = &s->worker->live.client_connections;
    uint32_t before = *live;
    turns(s, 1);
    assert_true(before - *live <= ROUND_CLOSES);
    return *live;
}

static void all_end(struct crowd *c)
{
    int left = 20;
    while (turn(&c->scene) && --left) continue;
    assert_true(left);
    for (int i = 0; i < CLIENTS; i++) {
        char byte;
        if (c->clients[i] >= 0) assert_int_equal(recv(c->clients[i], &byte, 1, 0), 0);
    }
}

static void idle_clients_of_a_listener_that_goes_end_so_many_a_turn(void **state)
{
    (void)state;
    struct crowd c;
    gather(&c);
    commit(&c.scene, &c.without);
    /* The first turn may be one that only takes the mail, or does its part of it already. */
    assert_true(turn(&c.scene) >= CLIENTS - ROUND_CLOSES);
    assert_true(turn(&c.scene) >= CLIENTS - 2 * ROUND_CLOSES);
    all_end(&c);
    go_home(&c);
}

static void another_change_in_the_middle_changes_nothing(void **state)
{
    (void)state;
    struct crowd c;
    gather(&c);
    commit(&c.scene, &c.without);
    turn(&c.scene);
    commit(&c.scene, &c.scene.conf); /* a listener of the name is there again: not the one that they are at */
    turn(&c.scene);
    commit(&c.scene, &c.without);
    all_end(&c);
    go_home(&c);
}

/* Nobody has told its client of a close: what he asks meanwhile is answered. */
static void who_asks_before_it_is_his_turn_is_answered(void **state)
{
    (void)state;
    struct crowd c;
    gather(&c);
    commit(&c.scene, &c.without);
    assert_true(turn(&c.scene) > 0);
    int last = -1;
    for (int i = 0; i < CLIENTS; i++) {
        char byte;
        if (recv(c.clients[i], &byte, 1, MSG_PEEK) < 0) last = c.clients[i]; /* it is open still */
    }
    assert_true(last >= 0);
    say(last, ASK);
    hear(&c.scene, c.server, "\r\n\r\n");
    say(c.server, ANSWER);
    const char *answer = hear(&c.scene, last, "ok");
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    all_end(&c);
    go_home(&c);
}

static void a_worker_that_drains_ends_them_likewise(void **state)
{
    (void)state;
    struct crowd c;
    gather(&c);
    worker_drain(c.scene.worker, false);
    assert_true(turn(&c.scene) >= CLIENTS - ROUND_CLOSES);
    all_end(&c);
    go_home(&c);
}

static void who_is_told_twice_that_it_drains_goes_on(void **state)
{
    (void)state;
    struct crowd c;
    gather(&c);
    worker_drain(c.scene.worker, true);
    assert_int_equal(turn(&c.scene), CLIENTS); /* they may ask once more */
    worker_drain(c.scene.worker, false);
    turn(&c.scene);
    worker_drain(c.scene.worker, false);
    all_end(&c);
    go_home(&c);
}

static void a_worker_may_end_in_the_middle(void **state)
{
    (void)state;
    struct crowd c;
    gather(&c);
    commit(&c.scene, &c.without);
    assert_true(turn(&c.scene) > 0);
    go_home(&c); /* which looks whether all has come back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idle_clients_of_a_listener_that_goes_end_so_many_a_turn),
        cmocka_unit_test(another_change_in_the_middle_changes_nothing),
        cmocka_unit_test(who_asks_before_it_is_his_turn_is_answered),
        cmocka_unit_test(a_worker_that_drains_ends_them_likewise),
        cmocka_unit_test(who_is_told_twice_that_it_drains_goes_on),
        cmocka_unit_test(a_worker_may_end_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
