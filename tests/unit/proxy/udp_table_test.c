#include "proxy/udp_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct udp_flow flow_of(uint16_t port, uint8_t local)
{
    struct udp_flow f = { .peer_len = sizeof(struct sockaddr_in) };
    f.peer.in4.sin_family = AF_INET;
    f.peer.in4.sin_port = port;
    f.peer.in4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    f.local.s6_addr[15] = local;
    return f;
}

static void a_session_is_found_by_port_and_by_the_address_that_was_asked(void **state)
{
    (void)state;
    struct udp_table t;
    struct udp_place one = { .flow = flow_of(1, 0) }, two = { .flow = flow_of(2, 0) },
                     other = { .flow = flow_of(1, 7) };
    struct udp_flow none = flow_of(3, 0);
    assert_true(udp_table_init(&t, 16, 42));
    assert_null(udp_table_find(&t, &one.flow));
    assert_null(udp_table_oldest(&t));
    udp_table_add(&t, &one, 10);
    udp_table_add(&t, &two, 11);
    udp_table_add(&t, &other, 12);
    assert_ptr_equal(udp_table_find(&t, &one.flow), &one);
    assert_ptr_equal(udp_table_find(&t, &two.flow), &two);
    assert_ptr_equal(udp_table_find(&t, &other.flow), &other);
    assert_null(udp_table_find(&t, &none));
    udp_table_remove(&t, &two);
    assert_null(udp_table_find(&t, &two.flow));
    udp_table_remove(&t, &one);
    udp_table_remove(&t, &other);
    assert_int_equal(t.count, 0);
    udp_table_fini(&t);
}

/* Whatever goes, or is heard of, between two steps. */
static void a_walk_comes_by_all_that_stay(void **state)
{
    (void)state;
    enum { COUNT = 6 };
    struct udp_table t;
    struct udp_place places[COUNT];
    assert_true(udp_table_init(&t, 16, 42));
    assert_null(udp_table_walk(&t));
    for (uint32_t i = 0; i < COUNT; i++) {
        places[i] = (struct udp_place){ .flow = flow_of((uint16_t)i, 0) };
        udp_table_add(&t, &places[i], i);
    }
    udp_table_walk_from_start(&t);
    assert_ptr_equal(udp_table_walk(&t), &places[0]);
    udp_table_remove(&t, &places[1]);   /* the next */
    udp_table_touch(&t, &places[2], 9); /* which is then the next */
    assert_ptr_equal(udp_table_walk(&t), &places[3]);
    udp_table_remove(&t, &places[3]); /* where it was */
    assert_ptr_equal(udp_table_walk(&t), &places[4]);
    assert_ptr_equal(udp_table_walk(&t), &places[5]);
    assert_ptr_equal(udp_table_walk(&t), &places[2]);
    assert_null(udp_table_walk(&t));
    assert_null(udp_table_walk(&t));
    udp_table_walk_from_start(&t);
    while (t.count) udp_table_remove(&t, udp_table_oldest(&t));
    assert_null(udp_table_walk(&t));
    udp_table_fini(&t);
}

static void who_is_heard_of_is_silent_no_longer(void **state)
{
    (void)state;
    struct udp_table t;
    struct udp_place one = { .flow = flow_of(1, 0) }, two = { .flow = flow_of(2, 0) };
    assert_true(udp_table_init(&t, 1, 42));
    udp_table_add(&t, &one, 10);
    udp_table_add(&t, &two, 11);
    assert_ptr_equal(udp_table_oldest(&t), &one);
    udp_table_touch(&t, &one, 12);
    assert_ptr_equal(udp_table_oldest(&t), &two);
    assert_int_equal(one.seen_ms, 12);
    udp_table_remove(&t, &two);
    assert_ptr_equal(udp_table_oldest(&t), &one);
    udp_table_remove(&t, &one);
    udp_table_fini(&t);
}

static void many_more_than_there_are_buckets_are_found(void **state)
{
    (void)state;
    static struct udp_place places[5000];
    struct udp_table t;
    assert_true(udp_table_init(&t, 1, 42));
    for (uint16_t i = 0; i < 5000; i++) {
        places[i].flow = flow_of(i, 0);
        udp_table_add(&t, &places[i], i);
    }
    for (uint16_t i = 0; i < 5000; i++) assert_ptr_equal(udp_table_find(&t, &places[i].flow), &places[i]);
    for (uint16_t i = 0; i < 5000; i += 2) udp_table_remove(&t, &places[i]);
    for (uint16_t i = 0; i < 5000; i++)
        assert_ptr_equal(udp_table_find(&t, &places[i].flow), i % 2 ? &places[i] : NULL);
    assert_ptr_equal(udp_table_oldest(&t), &places[1]);
    for (uint16_t i = 1; i < 5000; i += 2) udp_table_remove(&t, &places[i]);
    udp_table_fini(&t);
}

static void room_for_more_is_made_while_some_are_there(void **state)
{
    (void)state;
    static struct udp_place places[5000];
    struct udp_table t;
    assert_true(udp_table_init(&t, 1, 42));
    for (uint16_t i = 0; i < 5000; i++) {
        if (i == 2500) udp_table_fit(&t, 5000);
        places[i].flow = flow_of(i, 0);
        udp_table_add(&t, &places[i], i);
    }
    assert_true(t.mask >= 4999);
    udp_table_fit(&t, 1); /* it never shrinks */
    assert_true(t.mask >= 4999);
    for (uint16_t i = 0; i < 5000; i++) assert_ptr_equal(udp_table_find(&t, &places[i].flow), &places[i]);
    for (uint16_t i = 0; i < 5000; i++) {
        assert_ptr_equal(udp_table_oldest(&t), &places[i]);
        udp_table_remove(&t, &places[i]);
    }
    udp_table_fini(&t);
}

static void who_is_hidden_is_in_nobodys_way(void **state)
{
    (void)state;
    struct udp_table t;
    struct udp_place old = { .flow = flow_of(1, 0) }, next = { .flow = flow_of(1, 0) };
    assert_true(udp_table_init(&t, 1, 42));
    udp_table_add(&t, &old, 10);
    udp_table_hide(&t, &old);
    assert_null(udp_table_find(&t, &old.flow));
    udp_table_add(&t, &next, 11);
    udp_table_fit(&t, 1000);
    assert_ptr_equal(udp_table_find(&t, &old.flow), &next);
    assert_ptr_equal(udp_table_oldest(&t), &old);
    udp_table_touch(&t, &old, 12);
    assert_ptr_equal(udp_table_oldest(&t), &next);
    udp_table_remove(&t, &old);
    assert_ptr_equal(udp_table_find(&t, &old.flow), &next);
    udp_table_remove(&t, &next);
    assert_int_equal(t.count, 0);
    udp_table_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_walk_comes_by_all_that_stay),
        cmocka_unit_test(a_session_is_found_by_port_and_by_the_address_that_was_asked),
        cmocka_unit_test(who_is_heard_of_is_silent_no_longer),
        cmocka_unit_test(room_for_more_is_made_while_some_are_there),
        cmocka_unit_test(who_is_hidden_is_in_nobodys_way),
        cmocka_unit_test(many_more_than_there_are_buckets_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
