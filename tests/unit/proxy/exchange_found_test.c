/* Requests that name one of a pool's servers, by a pin or by a cookie, while the pool's servers are found and that one goes: no
 * configuration holds it, so its memory is only there as long as somebody who began with it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
/* after the above */
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "scene.h"

#include "conf/arena.h"
#include "discovery/source.h"
#include "pool/found_servers.h"
#include "pool/sticky.h"
#include "pool/sticky_conf.h"
#include "proxy/change.h"
#include "proxy/proxy_conf.h"
#include "route/rate_conf.h"

#define ASK "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define PINNED "GET / HTTP/1.1\r\nHost: h\r\nWeir-Pin: web/one\r\n\r\n"
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define ONE 1u
#define TWO 2u
#define BOTH (ONE | TWO)
#define COOKIE_MAX 128u

struct found_scene {
    struct scene s; /* first */
    struct server_conf entry;
    struct cidr inside;
    struct pin_conf pin;
    struct sticky_conf sticky;
    struct rate_conf rate;
    struct found found[SERVERS];
    uint32_t found_count;
};

static const char *secret = "a secret that is long enough";

static const struct found *find(void *context, const struct address *place, uint32_t *count)
{
    struct found_scene *f = context;
    (void)place;
    *count = f->found_count;
    return f->found;
}

/* From now on these alone are there. */
static void say_who_is_there(struct found_scene *f, unsigned who)
{
    const struct servers_finder finder = { find, f };
    struct pool *pool = f->s.proxy->pools[0];
    struct conf_arena *own;
    struct err err = { "" };
    uint32_t left_out;
    f->found_count = 0;
    for (int i = 0; i < SERVERS; i++) {
        if (!(who & 1u << i)) continue;
        struct found *next = &f->found[f->found_count++];
        *next = (struct found){ .address = f->s.servers[i].address };
        snprintf(next->name, sizeof(next->name), "%s", f->s.servers[i].name);
    }
    const struct pool_conf *conf = found_pool_conf(&f->s.pool, NULL, &finder, &own, &left_out);
    if (proxy_change_servers(f->s.proxy, pool, conf, own, &err) < 0) fail_msg("%s", err.text);
    conf_arena_free(own);
    turns(&f->s, 2);
}

static void look(struct found_scene *f, int count)
{
    for (int i = 0; i < count; i++) {
        retire_look(f->s.proxy);
        turns(&f->s, 1);
        loop_turn(&f->s.control, 0);
    }
}

/* `cap`: of requests at a server; 0: none. */
static void open_found(struct found_scene *f, uint32_t cap)
{
    memset(f, 0, sizeof(*f));
    struct scene *s = &f->s;
    scene_open(s, false);
    f->entry = (struct server_conf){ .name = "app", .weight = 1, .max_requests = cap };
    assert_int_equal(place_parse(SLICE("app.internal:80"), &f->entry.address, NULL), 0);
    s->pool.servers = (struct conf_items){ &f->entry, 1 };
    assert_int_equal(cidr_parse(SLICE("127.0.0.0/8"), &f->inside, NULL), 0);
    f->pin.from = (struct conf_items){ &f->inside, 1 };
    s->listener.pin = &f->pin;
    f->sticky = (struct sticky_conf){ .cookie = "c", .secrets = { &secret, 1 }, .path = "/" };
    s->pool.sticky = &f->sticky;
}

/* Held back for a second each, after the first. */
static void limit_rate(struct found_scene *f)
{
    f->rate = (struct rate_conf){ .requests = { 1, 1 }, .burst = 1, .delay_ms = 10000, .keys = 16 };
    f->s.listener.rate = &f->rate;
}

/* With the first server's cookie; both are there then. */
static void start(struct found_scene *f, char cookie[COOKIE_MAX])
{
    scene_start(&f->s);
    say_who_is_there(f, ONE);
    int client = client_connect(&f->s);
    say(client, ASK);
    int server = server_accept(&f->s, 0);
    hear(&f->s, server, "\r\n\r\n");
    say(server, ANSWER);
    const char *at = strstr(hear(&f->s, client, "ok"), "c=");
    assert_non_null(at);
    snprintf(cookie, COOKIE_MAX, "%.*s", (int)strcspn(at, ";"), at);
    close(client);
    close(server);
    turns(&f->s, 3);
    say_who_is_there(f, BOTH);
}

static void say_with(int client, const char *cookie)
{
    char text[COOKIE_MAX + 64];
    snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\nCookie: %s\r\n\r\n", cookie);
    say(client, text);
}

static void close_found(struct found_scene *f)
{
    look(f, 40);
    assert_int_equal(f->s.proxy->retirement.count, 0);
    scene_close(&f->s);
}

static bool is_connected_to(struct found_scene *f, int which)
{
    int fd = accept(f->s.listening[which], NULL, NULL);
    if (fd >= 0) close(fd);
    return fd >= 0;
}

/* The server goes while a rate holds the request back: its memory stays until that goes on. */
static int hold_back(struct found_scene *f, bool is_pinned)
{
    char cookie[COOKIE_MAX];
    open_found(f, 0);
    limit_rate(f);
    start(f, cookie);
    int client = client_connect(&f->s);
    if (is_pinned)
        say(client, PINNED);
    else
        say_with(client, cookie);
    turns(&f->s, 5);
    assert_int_equal(f->s.worker->live.exchanges, 1);
    say_who_is_there(f, TWO);
    look(f, 40);
    assert_int_equal(f->s.proxy->retirement.count, 1);
    pass_time(&f->s, 1100);
    return client;
}

static void a_pin_whose_server_went_while_it_was_held_back_is_told(void **state)
{
    (void)state;
    struct found_scene f;
    int client = hold_back(&f, true);
    assert_non_null(strstr(hear(&f.s, client, "\n"), "HTTP/1.1 400"));
    turns(&f.s, 3);
    assert_int_equal(last_record(&f.s).end, END_PIN_UNKNOWN);
    assert_false(is_connected_to(&f, 0));
    assert_false(is_connected_to(&f, 1));
    close(client);
    close_found(&f);
}

static void a_cookie_whose_server_went_while_it_was_held_back_has_another(void **state)
{
    (void)state;
    struct found_scene f;
    int client = hold_back(&f, false), server = server_accept(&f.s, 1);
    hear(&f.s, server, "\r\n\r\n");
    look(&f, 40);
    assert_int_equal(f.s.proxy->retirement.count, 0); /* nobody is with the first any more */
    say(server, ANSWER);
    assert_non_null(strstr(hear(&f.s, client, "ok"), "Set-Cookie: c="));
    assert_false(is_connected_to(&f, 0));
    close(client);
    close(server);
    close_found(&f);
}

static void who_is_held_back_and_still_there_is_asked(void **state)
{
    (void)state;
    struct found_scene f;
    char cookie[COOKIE_MAX];
    open_found(&f, 0);
    limit_rate(&f);
    start(&f, cookie);
    int client = client_connect(&f.s);
    say_with(client, cookie);
    turns(&f.s, 5);
    say_who_is_there(&f, ONE);
    say_who_is_there(&f, BOTH);
    pass_time(&f.s, 1100);
    int server = server_accept(&f.s, 0);
    hear(&f.s, server, "\r\n\r\n");
    say(server, ANSWER);
    assert_null(strstr(hear(&f.s, client, "ok"), "Set-Cookie"));
    close(client);
    close(server);
    close_found(&f);
}

static int begin(struct found_scene *f, int which, int *server)
{
    int client = client_connect(&f->s);
    say(client, ASK);
    *server = server_accept(&f->s, which);
    hear(&f->s, *server, "\r\n\r\n");
    return client;
}

/* Both servers are full; the one that the request is named to goes in the turn in which it has a slot again, which is nobody's
 * then. The request waits for the other. */
static void who_waits_for_a_server_that_went_has_another(void **state)
{
    (void)state;
    struct found_scene f;
    char cookie[COOKIE_MAX], byte;
    int servers[2], busy[2];
    open_found(&f, 1);
    start(&f, cookie);
    say_who_is_there(&f, ONE);
    busy[0] = begin(&f, 0, &servers[0]);
    say_who_is_there(&f, BOTH);
    busy[1] = begin(&f, 1, &servers[1]);
    int client = client_connect(&f.s);
    say_with(client, cookie);
    turns(&f.s, 5);
    say(servers[0], ANSWER);
    say_who_is_there(&f, TWO);
    hear(&f.s, busy[0], "ok");
    turns(&f.s, 5);
    assert_true(recv(servers[0], &byte, 1, MSG_DONTWAIT) <= 0);
    assert_false(is_connected_to(&f, 0));
    say(servers[1], ANSWER);
    hear(&f.s, busy[1], "ok");
    hear(&f.s, servers[1], "\r\n\r\n");
    look(&f, 40);
    assert_int_equal(f.s.proxy->retirement.count, 0);
    say(servers[1], ANSWER);
    assert_non_null(strstr(hear(&f.s, client, "ok"), "Set-Cookie: c="));
    for (int i = 0; i < 2; i++) {
        close(busy[i]);
        close(servers[i]);
    }
    close(client);
    close_found(&f);
}

/* Servers come and go while requests with pins and cookies are held back, wait, are answered or cut off: what went is freed, and
 * nobody asks it any more (the sanitizers tell). */
static void any_order(unsigned seed)
{
    struct found_scene f;
    char cookie[COOKIE_MAX], bytes[4096];
    int clients[4], servers[64], server_count = 0;
    struct rng rng;
    open_found(&f, 1);
    if (seed % 2) limit_rate(&f);
    start(&f, cookie);
    for (int i = 0; i < 4; i++) clients[i] = client_connect(&f.s);
    rng_seed(&rng, seed);
    for (int step = 0; step < 120; step++) {
        uint64_t which = rng_next(&rng);
        int *client = &clients[which / 16 % 4];
        switch (which % 8) {
        case 0: say_who_is_there(&f, (unsigned)(which / 64 % 4)); break;
        case 1: (void)send(*client, PINNED, strlen(PINNED), MSG_NOSIGNAL); break;
        case 2: say_with(*client, cookie); break;
        case 3:
            for (int i = 0; i < server_count; i++)
                if (recv(servers[i], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
                    (void)send(servers[i], ANSWER, strlen(ANSWER), MSG_NOSIGNAL);
            break;
        case 4: look(&f, 3); break;
        case 5: (void)send(*client, ASK, strlen(ASK), MSG_NOSIGNAL); break;
        case 6:
            close(*client);
            *client = client_connect(&f.s);
            break;
        case 7: pass_time(&f.s, which / 64 % 700); break;
        }
        for (int i = 0; i < SERVERS && server_count < 64; i++) {
            int fd = accept4(f.s.listening[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) servers[server_count++] = fd;
        }
    }
    for (int i = 0; i < 4; i++) close(clients[i]);
    for (int i = 0; i < server_count; i++) close(servers[i]);
    turns(&f.s, 3);
    pass_time(&f.s, 20000);
    close_found(&f);
}

static void servers_come_and_go_at_any_moment(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 30; seed++) any_order(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pin_whose_server_went_while_it_was_held_back_is_told),
        cmocka_unit_test(a_cookie_whose_server_went_while_it_was_held_back_has_another),
        cmocka_unit_test(who_is_held_back_and_still_there_is_asked),
        cmocka_unit_test(who_waits_for_a_server_that_went_has_another),
        cmocka_unit_test(servers_come_and_go_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
