#include "record/access_socket.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "net/loopback.h"

/* The clock is the test's own. */
static uint64_t now = NS_PER_S;

static void init(struct access_socket *s, const char *to, bool is_tcp)
{
    struct address address;
    struct err err;
    *s = (struct access_socket){ .fd = -1 };
    if (address_parse(slice_of(to), false, &address, &err) < 0 ||
        access_socket_init(s, &address, is_tcp, &err) < 0)
        fail_msg("%s", err.text);
}

static void put(struct access_socket *s, const char *text)
{
    struct text room = access_outbox_room(&s->box, (uint32_t)strlen(text));
    assert_non_null(room.data);
    text_add_slice(&room, slice_of(text));
    access_outbox_add(&s->box, (uint32_t)room.len);
}

/* A server of the test's own: at a path, or at a port of the loopback that the kernel chooses. */
static int open_server(int type, char to[ADDRESS_TEXT_MAX])
{
    struct address at;
    int fd = loopback_open(type, &at);
    address_print(&at, to);
    return fd;
}

static int open_unix(const char *path, int type)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    return fd;
}

static void make_path(char folder[64], char path[80], char to[ADDRESS_TEXT_MAX])
{
    snprintf(folder, 64, "/tmp/weir-access-socket-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, 80, "%s/socket", folder);
    snprintf(to, ADDRESS_TEXT_MAX, "unix:%s", path);
}

static void check_next(int fd, const char *expected)
{
    char got[256] = "";
    ssize_t len = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
    if (len < 0) fail_msg("nothing instead of %s", expected);
    assert_string_equal(got, expected);
}

static void who_is_not_there_is_tried_again_and_nothing_is_lost(void **state)
{
    (void)state;
    char folder[64], path[80], to[ADDRESS_TEXT_MAX];
    struct access_socket s;
    make_path(folder, path, to);
    init(&s, to, false);
    put(&s, "a");
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
    assert_string_equal(s.trouble, "No such file or directory");
    int server = open_unix(path, SOCK_DGRAM);
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY); /* not yet due */
    now = s.again_ns;
    put(&s, "b");
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT);
    assert_true(s.is_reached);
    check_next(server, "a");
    check_next(server, "b");
    /* It is ended, and another takes its place. */
    close(server);
    unlink(path);
    put(&s, "c");
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
    assert_false(s.is_reached);
    server = open_unix(path, SOCK_DGRAM);
    now = s.again_ns;
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT);
    check_next(server, "c");
    assert_int_equal(s.lost, 0);
    assert_int_equal(s.repeated, 0);
    access_socket_fini(&s);
    close(server);
    unlink(path);
    rmdir(folder);
}

static void waits_grow_to_five_seconds(void **state)
{
    (void)state;
    struct access_socket s;
    init(&s, "unix:/nowhere/at/all", false);
    put(&s, "a");
    uint64_t wait = 0;
    for (int i = 0; i < 12; i++) {
        assert_int_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
        assert_true(s.again_ns - now >= wait);
        wait = s.again_ns - now;
        now = s.again_ns;
    }
    assert_int_equal(wait, 5 * NS_PER_S);
    access_socket_again(&s);
    put(&s, "b");
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
    assert_true(s.again_ns - now < NS_PER_S);
    access_socket_fini(&s);
}

static void a_socket_of_another_kind_is_named(void **state)
{
    (void)state;
    char folder[64], path[80], to[ADDRESS_TEXT_MAX];
    struct access_socket s;
    make_path(folder, path, to);
    int server = open_unix(path, SOCK_STREAM);
    assert_int_equal(listen(server, 1), 0);
    init(&s, to, false);
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
    assert_string_equal(s.trouble, "that socket takes no datagrams");
    access_socket_fini(&s);
    close(server);
    unlink(path);
    rmdir(folder);
}

static void a_full_one_is_waited_for_without_a_loss(void **state)
{
    (void)state;
    char folder[64], path[80], to[ADDRESS_TEXT_MAX], text[16];
    struct access_socket s;
    int sent = 0, got = 0;
    make_path(folder, path, to);
    int server = open_unix(path, SOCK_DGRAM);
    init(&s, to, false);
    enum access_sent result = ACCESS_SENT;
    for (; result == ACCESS_SENT && sent < 2000; sent++) {
        snprintf(text, sizeof(text), "%d", sent);
        put(&s, text);
        result = access_socket_send(&s, now);
    }
    assert_int_equal(result, ACCESS_SENT_FULL);
    for (; got < sent; got++) {
        snprintf(text, sizeof(text), "%d", got);
        check_next(server, text);
        (void)access_socket_send(&s, now);
    }
    assert_int_equal(s.box.count, 0);
    access_socket_fini(&s);
    close(server);
    unlink(path);
    rmdir(folder);
}

static void of_udp_that_is_refused_one_is_lost_and_the_others_wait(void **state)
{
    (void)state;
    char to[ADDRESS_TEXT_MAX];
    struct access_socket s;
    close(open_server(SOCK_DGRAM, to)); /* nobody listens there now */
    init(&s, to, false);
    put(&s, "a");
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT);
    put(&s, "b");
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
    assert_string_equal(s.trouble, "Connection refused");
    assert_int_equal(s.lost, 1);
    assert_int_equal(s.box.count, 1);
    put(&s, "c");
    put(&s, "d");
    /* Each try is one datagram. */
    now = s.again_ns;
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
    assert_int_equal(s.box.count, 2);
    now = s.again_ns;
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
    assert_int_equal(s.lost, 2);
    assert_int_equal(s.box.count, 2);
    /* Somebody listens. */
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    in.sin_port = htons((uint16_t)atoi(strchr(to, ':') + 1));
    int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server, (struct sockaddr *)&in, sizeof(in)), 0);
    now = s.again_ns;
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
    now = s.again_ns;
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT);
    check_next(server, "c");
    check_next(server, "d");
    assert_int_equal(s.lost, 2);
    access_socket_fini(&s);
    close(server);
}

static void what_is_longer_than_a_datagram_is_counted(void **state)
{
    (void)state;
    char to[ADDRESS_TEXT_MAX], *text = malloc(70001);
    struct access_socket s;
    int server = open_server(SOCK_DGRAM, to);
    memset(text, 'x', 70000);
    text[70000] = 0;
    init(&s, to, false);
    put(&s, "a");
    put(&s, text);
    put(&s, "b");
    assert_int_equal(access_socket_send(&s, now), ACCESS_SENT);
    check_next(server, "a");
    check_next(server, "b");
    assert_int_equal(s.lost, 1);
    access_socket_fini(&s);
    close(server);
    free(text);
}

/* Until all is confirmed, or the connection is in trouble. */
static enum access_sent settle(struct access_socket *s)
{
    enum access_sent result = ACCESS_SENT;
    for (int i = 0; i < 10000; i++) {
        result = access_socket_send(s, now);
        if (result == ACCESS_SENT_AWAY || (result == ACCESS_SENT && !s->box.count)) return result;
        usleep(1000);
    }
    return result;
}

static void over_tcp_what_is_not_confirmed_goes_out_once_more(void **state)
{
    (void)state;
    char to[ADDRESS_TEXT_MAX], got[64] = "";
    struct access_socket s;
    int listening = open_server(SOCK_STREAM, to);
    init(&s, to, true);
    put(&s, "1 a");
    assert_int_equal(settle(&s), ACCESS_SENT);
    int server = accept(listening, NULL, NULL);
    assert_int_equal(recv(server, got, sizeof(got), 0), 3);
    /* It ends without having taken the next, which nobody confirms. */
    struct linger linger = { .l_onoff = 1 };
    assert_int_equal(setsockopt(server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(server);
    put(&s, "1 b");
    assert_int_equal(settle(&s), ACCESS_SENT_AWAY);
    now = s.again_ns;
    put(&s, "1 c");
    assert_int_equal(settle(&s), ACCESS_SENT);
    server = accept(listening, NULL, NULL);
    memset(got, 0, sizeof(got));
    assert_int_equal(recv(server, got, 6, MSG_WAITALL), 6);
    assert_string_equal(got, "1 b1 c");
    assert_int_equal(s.lost, 0);
    access_socket_fini(&s);
    close(server);
    close(listening);
}

/* One that takes nothing: what has no room stays, and all of it is repeated on the next connection, from a message's beginning. */
static void a_message_is_never_torn_by_a_broken_connection(void **state)
{
    (void)state;
    char to[ADDRESS_TEXT_MAX], text[32];
    struct access_socket s;
    int small = 4096, listening = open_server(SOCK_STREAM, to);
    assert_int_equal(setsockopt(listening, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    init(&s, to, true);
    uint32_t count = 0;
    for (; count < 400000 && s.box.count < ACCESS_OUTBOX_MESSAGES; count++) {
        snprintf(text, sizeof(text), "<%08u%s>", count, "xxxxxxxxxxxxxxxxx");
        put(&s, text);
        assert_int_not_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
    }
    assert_int_equal(s.box.count, ACCESS_OUTBOX_MESSAGES); /* nothing is confirmed any more */
    uint32_t kept = s.box.count, first = count - kept;
    int server = accept(listening, NULL, NULL);
    struct linger linger = { .l_onoff = 1 };
    assert_int_equal(setsockopt(server, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(server);
    assert_int_equal(settle(&s), ACCESS_SENT_AWAY);
    assert_true(s.repeated > 0);
    assert_true(s.box.count == kept);
    now = s.again_ns;
    assert_int_not_equal(access_socket_send(&s, now), ACCESS_SENT_AWAY);
    server = accept(listening, NULL, NULL);
    for (uint32_t i = first; i < count; i++) {
        char expected[32];
        (void)access_socket_send(&s, now);
        snprintf(expected, sizeof(expected), "<%08u%s>", i, "xxxxxxxxxxxxxxxxx");
        memset(text, 0, sizeof(text));
        assert_int_equal(recv(server, text, strlen(expected), MSG_WAITALL), strlen(expected));
        assert_string_equal(text, expected);
    }
    access_socket_fini(&s);
    close(server);
    close(listening);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_not_there_is_tried_again_and_nothing_is_lost),
        cmocka_unit_test(waits_grow_to_five_seconds),
        cmocka_unit_test(a_socket_of_another_kind_is_named),
        cmocka_unit_test(a_full_one_is_waited_for_without_a_loss),
        cmocka_unit_test(of_udp_that_is_refused_one_is_lost_and_the_others_wait),
        cmocka_unit_test(what_is_longer_than_a_datagram_is_counted),
        cmocka_unit_test(over_tcp_what_is_not_confirmed_goes_out_once_more),
        cmocka_unit_test(a_message_is_never_torn_by_a_broken_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
