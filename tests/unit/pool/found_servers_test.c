/* The copy of a pool's configuration in which names are servers, over a finder that knows what the test has it know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "conf/arena.h"
#include "discovery/source.h"
#include "pool/found_servers.h"

#define FOUND 8

struct known {
    const char *place;
    const char *addresses[FOUND]; /* with port 0: without one */
    const char *names[FOUND];
    int weights[FOUND]; /* 0: none */
};

struct scene {
    const struct known *known;
    uint32_t known_count;
    struct found found[FOUND];
    struct servers_finder finder;
    struct server_conf servers[FOUND];
    struct pool_conf written;
    struct conf_arena *arena, *own;
    const struct pool_conf *copy;
    uint32_t left_out;
};

static const struct found *find(void *context, const struct address *place, uint32_t *count)
{
    struct scene *s = context;
    *count = 0;
    for (uint32_t i = 0; i < s->known_count; i++) {
        const struct known *k = &s->known[i];
        if (!slice_equal(place_of(place).text, slice_of(k->place))) continue;
        for (; *count < FOUND && k->addresses[*count]; ++*count) {
            struct found *f = &s->found[*count];
            *f = (struct found){ .has_weight = k->weights[*count] > 0,
                                 .weight = (uint32_t)k->weights[*count] };
            assert_int_equal(address_parse(slice_of(k->addresses[*count]), true, &f->address, NULL), 0);
            if (k->names[*count]) snprintf(f->name, sizeof(f->name), "%s", k->names[*count]);
        }
        return s->found;
    }
    return NULL;
}

static void open_scene(struct scene *s, const struct known *known, uint32_t count)
{
    *s = (struct scene){ .known = known, .known_count = count, .arena = conf_arena_new() };
    s->finder = (struct servers_finder){ find, s };
    s->written = (struct pool_conf){ .name = "web", .servers = { s->servers, 0 } };
}

static struct server_conf *add(struct scene *s, const char *name, const char *address)
{
    struct server_conf *server = &s->servers[s->written.servers.count++];
    *server = (struct server_conf){ .name = name, .weight = 1, .tier = 1 };
    if (address_parse(slice_of(address), false, &server->address, NULL) < 0)
        assert_int_equal(place_parse(slice_of(address), &server->address, NULL), 0);
    return server;
}

static void expand(struct scene *s)
{
    conf_arena_free(s->own);
    s->copy = found_pool_conf(&s->written, s->arena, &s->finder, &s->own, &s->left_out);
}

static void close_scene(struct scene *s)
{
    conf_arena_free(s->own);
    assert_int_equal(conf_arena_refs(s->arena), 1);
    conf_arena_free(s->arena);
}

static void assert_server(const struct scene *s, uint32_t n, const char *name, const char *address)
{
    const struct server_conf *servers = s->copy->servers.data;
    char text[ADDRESS_TEXT_MAX];
    assert_true(n < s->copy->servers.count);
    assert_string_equal(servers[n].name, name);
    assert_string_equal(address_print(&servers[n].address, text), address);
}

static void a_name_is_a_server_at_each_of_its_addresses_with_all_that_is_said_of_it(void **state)
{
    (void)state;
    static const struct known known[] = {
        { .place = "app.internal:8080", .addresses = { "10.0.0.3:0", "[2001:db8::1]:0" } },
        { .place = "B.internal.:81", .addresses = { "10.0.0.9:0" } },
    };
    struct scene s;
    open_scene(&s, known, 2);
    struct server_conf *entry = add(&s, "app.internal:8080", "app.internal:8080");
    entry->weight = 7;
    entry->max_connections = 5;
    entry->zone = "z";
    add(&s, "b", "B.internal.:81");
    assert_true(found_is_needed(&s.written));
    expand(&s);
    const struct server_conf *servers = s.copy->servers.data;
    assert_int_equal(s.copy->servers.count, 3);
    assert_server(&s, 0, "app.internal:8080@10.0.0.3", "10.0.0.3:8080");
    assert_server(&s, 1, "app.internal:8080@2001:db8::1", "[2001:db8::1]:8080");
    assert_server(&s, 2, "b@10.0.0.9", "10.0.0.9:81");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(servers[i].weight, 7);
        assert_int_equal(servers[i].max_connections, 5);
        assert_string_equal(servers[i].zone, "z");
        assert_string_equal(servers[i].tls_name, "app.internal");
        assert_string_equal(servers[i].host, "app.internal:8080");
    }
    assert_string_equal(servers[2].tls_name, "B.internal");
    assert_false(found_is_needed(s.copy));
    assert_string_equal(s.copy->name, "web");
    close_scene(&s);
}

static void an_address_is_one_server_however_often_it_is_found(void **state)
{
    (void)state;
    static const struct known known[] = {
        { .place = "a.internal:80", .addresses = { "10.0.0.1:0", "10.0.0.2:0" } },
        { .place = "b.internal:80", .addresses = { "10.0.0.2:0", "10.0.0.3:0" } },
        { .place = "c.internal:81", .addresses = { "10.0.0.2:0" } },
    };
    struct scene s;
    open_scene(&s, known, 3);
    add(&s, "a", "a.internal:80");
    add(&s, "b", "b.internal:80");
    add(&s, "c", "c.internal:81");
    add(&s, "fixed", "10.0.0.1:80"); /* it stays what it is written as, though it stands behind */
    expand(&s);
    assert_int_equal(s.copy->servers.count, 4);
    assert_server(&s, 0, "fixed", "10.0.0.1:80");
    assert_server(&s, 1, "a@10.0.0.2", "10.0.0.2:80");
    assert_server(&s, 2, "b@10.0.0.3", "10.0.0.3:80");
    assert_server(&s, 3, "c@10.0.0.2", "10.0.0.2:81");
    close_scene(&s);
}

static void a_file_says_ports_weights_and_names_itself(void **state)
{
    (void)state;
    static const struct known known[] = {
        { .place = "file:/list",
          .addresses = { "10.0.0.1:80", "10.0.0.2:81", "10.0.0.3:82", "unix:/run/a" },
          .names = { "one", NULL, "one", "fixed" },
          .weights = { 3 } },
    };
    struct scene s;
    open_scene(&s, known, 1);
    add(&s, "fixed", "10.0.0.9:80");
    add(&s, "list", "file:/list")->weight = 2;
    expand(&s);
    const struct server_conf *servers = s.copy->servers.data;
    assert_int_equal(s.copy->servers.count, 5);
    assert_server(&s, 1, "one", "10.0.0.1:80");
    assert_server(&s, 2, "10.0.0.2:81", "10.0.0.2:81");
    assert_server(&s, 3, "list@10.0.0.3:82", "10.0.0.3:82");
    assert_server(&s, 4, "list@unix:/run/a", "unix:/run/a");
    assert_int_equal(servers[1].weight, 3);
    assert_int_equal(servers[2].weight, 2);
    assert_null(servers[1].tls_name);
    assert_null(servers[1].host);
    close_scene(&s);
}

static void whoever_knows_nothing_gives_no_server(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s, NULL, 0);
    add(&s, "a", "a.internal:80");
    expand(&s);
    assert_int_equal(s.copy->servers.count, 0);
    assert_int_equal(s.left_out, 0);
    conf_arena_free(s.own);
    s.copy = found_pool_conf(&s.written, NULL, NULL, &s.own, &s.left_out);
    assert_int_equal(s.copy->servers.count, 0);
    close_scene(&s);
}

static void two_copies_are_the_same_if_their_servers_are(void **state)
{
    (void)state;
    static const struct known once[] = { { .place = "a.internal:80",
                                           .addresses = { "10.0.0.1:0", "10.0.0.2:0" } } };
    static const struct known later[] = { { .place = "a.internal:80",
                                            .addresses = { "10.0.0.1:0", "10.0.0.3:0" } } };
    struct scene s, t;
    open_scene(&s, once, 1);
    add(&s, "a", "a.internal:80");
    expand(&s);
    open_scene(&t, once, 1);
    add(&t, "a", "a.internal:80");
    expand(&t);
    assert_true(found_is_same(s.copy, t.copy));
    t.known = later;
    expand(&t);
    assert_false(found_is_same(s.copy, t.copy));
    close_scene(&s);
    close_scene(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_a_server_at_each_of_its_addresses_with_all_that_is_said_of_it),
        cmocka_unit_test(an_address_is_one_server_however_often_it_is_found),
        cmocka_unit_test(a_file_says_ports_weights_and_names_itself),
        cmocka_unit_test(whoever_knows_nothing_gives_no_server),
        cmocka_unit_test(two_copies_are_the_same_if_their_servers_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
