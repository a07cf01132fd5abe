#include "net/udp_batch.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "net/udp_socket.h"

struct ends {
    struct udp_batch *batch;
    struct address at;
    int here, there; /* there: connected to here */
};

static struct address address_of(const char *text)
{
    struct address a;
    struct err err;
    assert_int_equal(address_parse((struct slice){ text, strlen(text) }, true, &a, &err), 0);
    return a;
}

static int open_at(const char *text, struct address *at)
{
    struct address a = address_of(text);
    int fd = socket(a.sa.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), off = 0;
    if (a.sa.any.sa_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    assert_int_equal(bind(fd, &a.sa.any, a.len), 0);
    udp_socket_prepare(fd, &a, 1 << 20);
    *at = (struct address){ .len = sizeof(at->sa) };
    assert_int_equal(getsockname(fd, &at->sa.any, &at->len), 0);
    return fd;
}

static void open_ends(struct ends *e, const char *bind_to, const char *host)
{
    char text[64];
    e->batch = udp_batch_new();
    assert_non_null(e->batch);
    e->here = open_at(bind_to, &e->at);
    snprintf(text, sizeof(text), "%s:%u", host, address_port(&e->at));
    struct address target = address_of(text);
    e->there = udp_socket_connect(&target);
    assert_true(e->there >= 0);
}

static void close_ends(struct ends *e)
{
    close(e->here);
    close(e->there);
    udp_batch_free(e->batch);
}

/* On loopback what was sent is there. */
static void fill(struct udp_batch *b, uint32_t i, const char *text, size_t len, const struct udp_flow *flow)
{
    memcpy(b->slots[i].data, text, len);
    b->slots[i].len = (uint32_t)len;
    b->slots[i].segment = 0;
    if (flow) b->slots[i].flow = *flow;
}

static void hears(int fd, const char *text)
{
    char got[128];
    struct pollfd p = { fd, POLLIN, 0 };
    assert_int_equal(poll(&p, 1, 5000), 1);
    ssize_t len = recv(fd, got, sizeof(got), MSG_DONTWAIT);
    assert_int_equal(len, strlen(text));
    assert_memory_equal(got, text, strlen(text));
}

static void what_waits_is_taken_at_once_and_answered_at_once(void **state)
{
    (void)state;
    struct ends e;
    uint32_t count;
    open_ends(&e, "127.0.0.1:0", "127.0.0.1");
    for (int i = 0; i < 3; i++) assert_int_equal(send(e.there, "abc", (size_t)i + 1, 0), i + 1);
    assert_int_equal(udp_batch_receive(e.batch, e.here, 0, UDP_BATCH, &count), IO_AGAIN);
    assert_int_equal(count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(e.batch->slots[i].len, i + 1);
        assert_int_equal(udp_slot_datagrams(&e.batch->slots[i]), 1);
        assert_memory_equal(&e.batch->slots[i].flow, &e.batch->slots[0].flow, sizeof(struct udp_flow));
    }
    assert_int_equal(udp_batch_send(e.batch, e.here, 0, 3, false), 3);
    hears(e.there, "a");
    hears(e.there, "ab");
    hears(e.there, "abc");
    close_ends(&e);
}

static void a_full_batch_says_that_more_may_wait(void **state)
{
    (void)state;
    struct ends e;
    uint32_t count;
    open_ends(&e, "127.0.0.1:0", "127.0.0.1");
    for (int i = 0; i < 3; i++) assert_int_equal(send(e.there, "x", 1, 0), 1);
    assert_int_equal(udp_batch_receive(e.batch, e.here, 30, 2, &count), IO_OK);
    assert_int_equal(count, 2);
    assert_int_equal(udp_batch_receive(e.batch, e.here, 0, 2, &count), IO_AGAIN);
    assert_int_equal(count, 1);
    assert_int_equal(udp_batch_receive(e.batch, e.here, 0, 2, &count), IO_AGAIN);
    assert_int_equal(count, 0);
    close_ends(&e);
}

static void an_answer_comes_from_the_address_that_was_asked(void **state)
{
    (void)state;
    static const char *const binds[] = { "0.0.0.0:0", "[::]:0" };
    for (size_t i = 0; i < 2; i++) {
        struct ends e;
        uint32_t count;
        open_ends(&e, binds[i], "127.0.0.3");
        assert_int_equal(send(e.there, "q", 1, 0), 1);
        assert_int_equal(udp_batch_receive(e.batch, e.here, 0, UDP_BATCH, &count), IO_AGAIN);
        assert_int_equal(count, 1);
        assert_int_equal(e.batch->slots[0].flow.local.s6_addr[15], 3);
        assert_int_equal(udp_batch_send(e.batch, e.here, 0, 1, false), 1);
        hears(e.there, "q"); /* a connected socket takes no other's */
        close_ends(&e);
    }
}

static void empty_and_largest_datagrams_pass_whole(void **state)
{
    (void)state;
    struct ends e;
    uint32_t count;
    size_t most = 65507;
    char *large = malloc(most);
    memset(large, 'x', most);
    open_ends(&e, "127.0.0.1:0", "127.0.0.1");
    assert_int_equal(send(e.there, "", 0, 0), 0);
    assert_int_equal(send(e.there, large, most, 0), most);
    assert_int_equal(udp_batch_receive(e.batch, e.here, 0, UDP_BATCH, &count), IO_AGAIN);
    assert_int_equal(count, 2);
    assert_int_equal(e.batch->slots[0].len, 0);
    assert_int_equal(e.batch->slots[1].len, most);
    assert_memory_equal(e.batch->slots[1].data, large, most);
    assert_int_equal(udp_batch_send(e.batch, e.here, 0, 2, false), 2);
    assert_int_equal(recv(e.there, large, most, 0), 0);
    assert_int_equal(recv(e.there, large, most, 0), most);
    free(large);
    close_ends(&e);
}

static void equally_long_ones_go_as_they_were(void **state)
{
    (void)state;
    static const char *const texts[] = { "one", "two", "six", "x", "ten", "eleven", "" };
    struct ends e;
    uint32_t count;
    open_ends(&e, "127.0.0.1:0", "127.0.0.1");
    assert_int_equal(send(e.there, "q", 1, 0), 1);
    assert_int_equal(udp_batch_receive(e.batch, e.here, 31, 1, &count), IO_OK);
    struct udp_flow flow = e.batch->slots[31].flow;
    for (uint32_t i = 0; i < 7; i++) fill(e.batch, i, texts[i], strlen(texts[i]), &flow);
    assert_int_equal(udp_batch_send(e.batch, e.here, 0, 7, false), 7);
    for (uint32_t i = 0; i < 7; i++) hears(e.there, texts[i]);
    assert_int_equal(udp_batch_send(e.batch, e.there, 0, 7, true), 7);
    uint32_t datagrams = 0;
    assert_int_equal(udp_batch_receive(e.batch, e.here, 8, 24, &count), IO_AGAIN);
    for (uint32_t i = 8; i < 8 + count; i++) datagrams += udp_slot_datagrams(&e.batch->slots[i]);
    assert_int_equal(datagrams, 7);
    close_ends(&e);
}

static void several_that_came_as_one_go_on_as_several(void **state)
{
    (void)state;
    struct ends e;
    uint32_t count;
    open_ends(&e, "127.0.0.1:0", "127.0.0.1");
    assert_int_equal(send(e.there, "q", 1, 0), 1);
    assert_int_equal(udp_batch_receive(e.batch, e.here, 0, 1, &count), IO_OK);
    struct udp_slot *s = &e.batch->slots[0];
    memcpy(s->data, "aaabbbc", 7);
    s->len = 7;
    s->segment = 3;
    assert_int_equal(udp_slot_datagrams(s), 3);
    assert_int_equal(udp_batch_send(e.batch, e.here, 0, 1, false), 1);
    hears(e.there, "aaa");
    hears(e.there, "bbb");
    hears(e.there, "c");
    close_ends(&e);
}

static void what_a_server_refused_shows_at_the_connected_socket(void **state)
{
    (void)state;
    struct address at;
    uint32_t count;
    int gone = open_at("127.0.0.1:0", &at);
    close(gone);
    struct udp_batch *b = udp_batch_new();
    int fd = udp_socket_connect(&at);
    fill(b, 0, "q", 1, NULL);
    assert_int_equal(udp_batch_send(b, fd, 0, 1, true), 1);
    assert_int_equal(udp_batch_receive(b, fd, 0, 4, &count), IO_FAIL);
    assert_int_equal(errno, ECONNREFUSED);
    assert_int_equal(udp_batch_receive(b, fd, 0, 4, &count), IO_AGAIN);
    close(fd);
    udp_batch_free(b);
}

static void what_the_kernel_lost_is_counted(void **state)
{
    (void)state;
    struct ends e;
    uint32_t count, sent = 0;
    char text[1000] = { 0 };
    int small = 4096;
    open_ends(&e, "127.0.0.1:0", "127.0.0.1");
    assert_int_equal(setsockopt(e.here, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    for (; sent < 100; sent++) assert_int_equal(send(e.there, text, sizeof(text), 0), sizeof(text));
    uint32_t lost = udp_socket_lost(e.here);
    assert_true(lost > 0);
    assert_int_equal(udp_batch_receive(e.batch, e.here, 0, UDP_BATCH, &count), IO_AGAIN);
    assert_int_equal(send(e.there, text, 1, 0), 1);
    assert_int_equal(udp_batch_receive(e.batch, e.here, 0, UDP_BATCH, &count), IO_AGAIN);
    assert_true(e.batch->is_lost_said);
    assert_int_equal(e.batch->lost, lost);
    close_ends(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_waits_is_taken_at_once_and_answered_at_once),
        cmocka_unit_test(a_full_batch_says_that_more_may_wait),
        cmocka_unit_test(an_answer_comes_from_the_address_that_was_asked),
        cmocka_unit_test(empty_and_largest_datagrams_pass_whole),
        cmocka_unit_test(equally_long_ones_go_as_they_were),
        cmocka_unit_test(several_that_came_as_one_go_on_as_several),
        cmocka_unit_test(what_a_server_refused_shows_at_the_connected_socket),
        cmocka_unit_test(what_the_kernel_lost_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
