/* Another configuration under a worker that goes on, turn by turn: what is kept, what goes, and when its memory does. */
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

#define ASK "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
#define ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define BEGUN "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab"

/* Configurations of a pool of the first server, the second, both, and both the other way round. */
enum members { FIRST, SECOND, BOTH, REVERSED, MEMBERS };

struct variant {
    struct server_conf servers[SERVERS];
    struct pool_conf pool;
    struct proxy_conf conf;
};

static void make_variant(const struct scene *s, enum members members, struct variant *v)
{
    bool is_second_first = members == SECOND || members == REVERSED;
    v->servers[0] = s->servers[is_second_first];
    v->servers[1] = s->servers[!is_second_first];
    v->pool = s->pool;
    v->pool.servers = (struct conf_items){ v->servers, members == FIRST || members == SECOND ? 1 : 2 };
    v->conf = s->conf;
    v->conf.pools = (struct conf_items){ &v->pool, 1 };
}

static void commit(struct scene *s, const struct variant *v)
{
    struct proxy_change change;
    struct err err = { "" };
    if (proxy_prepare_change(&change, s->proxy, &v->conf, NULL, &err) < 0) fail_msg("%s", err.text);
    proxy_commit_change(&change, NULL);
}

static void look(struct scene *s, int count)
{
    for (int i = 0; i < count; i++) {
        retire_look(s->proxy);
        turns(s, 1);
        loop_turn(&s->control, 0);
    }
}

/* All that is on its way out goes, in a bounded number of looks. */
static void settle(struct scene *s)
{
    look(s, 40);
    assert_int_equal(s->proxy->retirement.count, 0);
}

static int exchange(struct scene *s, int client, int which, int server)
{
    say(client, ASK);
    if (server < 0) server = server_accept(s, which);
    hear(s, server, "\r\n\r\n");
    say(server, ANSWER);
    hear(s, client, "ok");
    return server;
}

static void open_scene(struct scene *s)
{
    scene_open(s, false);
    one_server(s);
    scene_start(s);
}

static void a_discarded_change_leaves_nothing(void **state)
{
    (void)state;
    struct scene s;
    struct variant v;
    open_scene(&s);
    int client = client_connect(&s), server = exchange(&s, client, 0, -1);
    const struct site *site = s.proxy->site;
    const struct server *kept = s.proxy->pools[0]->roster->places[0].server;
    for (int i = 0; i < MEMBERS; i++) {
        struct proxy_change change;
        struct err err = { "" };
        make_variant(&s, (enum members)i, &v);
        assert_int_equal(proxy_prepare_change(&change, s.proxy, &v.conf, NULL, &err), 0);
        turns(&s, 1);
        proxy_discard_change(&change);
        exchange(&s, client, 0, server);
    }
    assert_ptr_equal(s.proxy->site, site);
    assert_ptr_equal(s.proxy->pools[0]->roster->places[0].server, kept);
    assert_int_equal(s.proxy->generation, 1);
    assert_int_equal(s.proxy->retirement.count, 0);
    close(client);
    close(server);
    scene_close(&s);
}

static void a_change_that_cannot_be_made_leaves_nothing(void **state)
{
    (void)state;
    struct scene s;
    struct variant v;
    struct proxy_change change;
    struct err err = { "" };
    open_scene(&s);
    make_variant(&s, BOTH, &v);
    struct listener_conf listeners[2] = { s.listener, s.listener };
    v.conf.listeners = (struct conf_items){ listeners, 2 };
    listeners[1].name = "taken"; /* by the second server */
    listeners[1].bind = s.servers[1].address;
    assert_int_equal(proxy_prepare_change(&change, s.proxy, &v.conf, NULL, &err), -1);
    assert_non_null(strstr(err.text, "taken"));
    listeners[1].bind = s.listener.bind;
    listeners[1].pool = "nobody";
    assert_int_equal(proxy_prepare_change(&change, s.proxy, &v.conf, NULL, &err), -1);
    assert_non_null(strstr(err.text, "nobody"));
    int client = client_connect(&s), server = exchange(&s, client, 0, -1);
    close(client);
    close(server);
    scene_close(&s);
}

/* The same connections, whatever stands beside the server and in what order. */
static void a_kept_server_keeps_its_connection(void **state)
{
    (void)state;
    struct scene s;
    struct variant v[MEMBERS];
    open_scene(&s);
    for (int i = 0; i < MEMBERS; i++) make_variant(&s, (enum members)i, &v[i]);
    int client = client_connect(&s), server = exchange(&s, client, 0, -1);
    struct server *kept = s.proxy->pools[0]->roster->places[0].server;
    atomic_store(&kept->weight, 7); /* by hand */
    static const enum members order[] = { BOTH, FIRST, REVERSED, FIRST };
    for (unsigned i = 0; i < sizeof(order) / sizeof(*order); i++) {
        commit(&s, &v[order[i]]);
        turns(&s, 2);
        if (order[i] != FIRST) continue;
        exchange(&s, client, 0, server);
        assert_int_equal(atomic_load(&kept->weight), 7);
        assert_ptr_equal(s.proxy->pools[0]->roster->places[0].server, kept);
        assert_int_equal(atomic_load(&kept->peer.open_connections), 1);
    }
    settle(&s);
    close(client);
    close(server);
    scene_close(&s);
}

/* Each is held by a request without an answer. The one in force goes on, and as soon as one has its answer another may come. */
static void so_many_older_configurations_are_held_and_no_more(void **state)
{
    (void)state;
    struct scene s;
    struct variant v;
    struct proxy_change change;
    struct err err = { "" };
    int clients[OLDER_SITES_MAX], servers[OLDER_SITES_MAX];
    open_scene(&s);
    make_variant(&s, FIRST, &v);
    for (unsigned i = 0; i < OLDER_SITES_MAX; i++) {
        clients[i] = client_connect(&s);
        say(clients[i], ASK);
        servers[i] = server_accept(&s, 0);
        hear(&s, servers[i], "\r\n\r\n");
        commit(&s, &v);
        look(&s, 8); /* what nobody holds goes */
    }
    const struct site *site = s.proxy->site;
    assert_int_equal(proxy_prepare_change(&change, s.proxy, &v.conf, NULL, &err), -1);
    assert_non_null(strstr(err.text, "16 older configurations are still held"));
    assert_ptr_equal(s.proxy->site, site);
    say(servers[3], ANSWER);
    hear(&s, clients[3], "ok");
    turns(&s, 2);
    commit(&s, &v);
    for (unsigned i = 0; i < OLDER_SITES_MAX; i++) {
        if (i != 3) {
            say(servers[i], ANSWER);
            hear(&s, clients[i], "ok");
        }
        close(clients[i]);
        close(servers[i]);
    }
    settle(&s);
    assert_true(list_is_empty(&s.proxy->older));
    scene_close(&s);
}

/* `is_past_head`: whether the response had begun before the change. */
static void an_exchange_ends_on_the_server_it_began_with(bool is_past_head)
{
    struct scene s;
    struct variant v;
    open_scene(&s);
    make_variant(&s, SECOND, &v);
    int client = client_connect(&s), other = client_connect(&s);
    say(client, ASK);
    int server = server_accept(&s, 0);
    hear(&s, server, "\r\n\r\n");
    if (is_past_head) {
        say(server, BEGUN);
        hear(&s, client, "ab");
    }
    commit(&s, &v);
    turns(&s, 2);
    int second = exchange(&s, other, 1, -1);
    look(&s, 20);
    /* The server is in use; so is the configuration until the response's head has come, and its counters after that. */
    assert_int_equal(s.proxy->retirement.count, 2);
    if (!is_past_head) {
        say(server, BEGUN);
        hear(&s, client, "ab");
        look(&s, 20);
        assert_int_equal(s.proxy->retirement.count, 2);
    }
    say(server, "cd");
    hear(&s, client, "cd");
    assert_string_equal(proxy_name_of(s.proxy, last_record(&s).attempts[0].server), "one");
    settle(&s);
    char byte;
    assert_int_equal(recv(server, &byte, 1, 0), 0); /* its connection is not kept */
    assert_string_equal(proxy_name_of(s.proxy, last_record(&s).attempts[0].server), "one");
    close(client);
    close(other);
    close(server);
    close(second);
    scene_close(&s);
}

static void an_exchange_before_its_head_ends_where_it_began(void **state)
{
    (void)state;
    an_exchange_ends_on_the_server_it_began_with(false);
}

static void an_exchange_past_its_head_ends_where_it_began(void **state)
{
    (void)state;
    an_exchange_ends_on_the_server_it_began_with(true);
}

/* A change, a look and a turn in any order, with exchanges in all states: the census is equal after each turn, and what
 * went is freed (the sanitizers tell). */
static void any_order(unsigned seed)
{
    struct scene s;
    struct variant v[MEMBERS];
    int clients[4], servers[64], server_count = 0;
    open_scene(&s);
    for (int i = 0; i < MEMBERS; i++) make_variant(&s, (enum members)i, &v[i]);
    for (int i = 0; i < 4; i++) clients[i] = client_connect(&s);
    struct rng rng;
    rng_seed(&rng, seed);
    char bytes[4096];
    for (int step = 0; step < 120; step++) {
        uint64_t which = rng_next(&rng);
        int client = clients[which / 16 % 4];
        switch (which % 8) {
        case 0: commit(&s, &v[which / 64 % MEMBERS]); break;
        case 1: (void)send(client, ASK, strlen(ASK), MSG_NOSIGNAL); break;
        case 2:
            for (int i = 0; i < server_count; i++)
                if (recv(servers[i], bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
                    (void)send(servers[i], which & 1024 ? ANSWER : BEGUN,
                               strlen(which & 1024 ? ANSWER : BEGUN), MSG_NOSIGNAL);
            break;
        case 3:
            for (int i = 0; i < server_count; i++) (void)send(servers[i], "cd", 2, MSG_NOSIGNAL);
            break;
        case 4: retire_look(s.proxy); break;
        case 5: loop_turn(&s.control, 0); break;
        case 6:
            close(client);
            clients[which / 16 % 4] = client_connect(&s);
            break;
        case 7: pass_time(&s, which / 64 % 300); break;
        }
        for (int i = 0; i < SERVERS && server_count < 64; i++) {
            int fd = accept4(s.listening[i], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (fd >= 0) servers[server_count++] = fd;
        }
        turns(&s, (int)(which / 4096 % 3));
    }
    for (int i = 0; i < 4; i++) close(clients[i]);
    for (int i = 0; i < server_count; i++) close(servers[i]);
    turns(&s, 3);
    pass_time(&s, 8000); /* those that wait for a connection, or in the queue */
    settle(&s);
    scene_close(&s);
}

static void changes_come_at_any_moment(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 60; seed++) any_order(seed);
}

/* Whatever was under way when everything ends. */
static void the_end_comes_at_any_moment(void **state)
{
    (void)state;
    for (int moment = 0; moment < 12; moment++) {
        struct scene s;
        struct variant v[MEMBERS];
        open_scene(&s);
        for (int i = 0; i < MEMBERS; i++) make_variant(&s, (enum members)i, &v[i]);
        int client = client_connect(&s);
        say(client, ASK);
        int server = server_accept(&s, 0);
        hear(&s, server, "\r\n\r\n");
        say(server, BEGUN);
        hear(&s, client, "ab");
        commit(&s, &v[SECOND]);
        commit(&s, &v[BOTH]);
        for (int i = 0; i < moment; i++) {
            if (i % 3 == 0) turns(&s, 1);
            if (i % 3 == 1) retire_look(s.proxy);
            if (i % 3 == 2) loop_turn(&s.control, 0);
        }
        close(client);
        close(server);
        scene_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_discarded_change_leaves_nothing),
        cmocka_unit_test(a_change_that_cannot_be_made_leaves_nothing),
        cmocka_unit_test(a_kept_server_keeps_its_connection),
        cmocka_unit_test(so_many_older_configurations_are_held_and_no_more),
        cmocka_unit_test(an_exchange_before_its_head_ends_where_it_began),
        cmocka_unit_test(an_exchange_past_its_head_ends_where_it_began),
        cmocka_unit_test(changes_come_at_any_moment),
        cmocka_unit_test(the_end_comes_at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
