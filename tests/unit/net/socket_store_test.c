/* Sockets that were given: their message, and who takes them. */
#include "net/socket_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "net/pass.h"

static struct address address_of(const char *text)
{
    struct address a;
    struct err err;
    assert_int_equal(address_parse(slice_of(text), true, &a, &err), 0);
    return a;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A message with that text and as many descriptors. */
static void fill(struct pass_message *m, const char *text, uint32_t count)
{
    strcpy(m->text, text);
    m->fd_count = count;
    for (uint32_t i = 0; i < count; i++)
        assert_true((m->fds[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
}

static void what_is_written_is_read_and_taken_by_its_address(void **state)
{
    (void)state;
    static const char *const addresses[] = { "127.0.0.1:80", "[::]:443", "unix:/run/a b.sock" };
    struct socket_store s = { 0 };
    struct pass_message m;
    struct err err;
    char memory[512];
    struct text t = text_over(memory, sizeof(memory));
    for (uint32_t i = 0; i < 3; i++) {
        struct socket_gift like = { .address = address_of(addresses[i]), .keeps_path = i == 2 };
        socket_store_write(&t, &like, i + 1);
    }
    fill(&m, text_cstr(&t), 6);
    int first = m.fds[0], last = m.fds[5];
    assert_int_equal(socket_store_read(&s, &m, m.text, &err), 0);
    for (uint32_t i = 0; i < 3; i++) {
        struct address a = address_of(addresses[i]);
        int fds[3];
        assert_int_equal(socket_store_count(&s, &a, false), i + 1);
        assert_int_equal(socket_store_take(&s, &a, false, fds), i == 2);
        assert_int_equal(socket_store_count(&s, &a, false), 0);
        if (i == 0) assert_int_equal(fds[0], first);
        for (uint32_t k = 0; i != 2 && k <= i; k++) close(fds[k]);
        for (uint32_t k = 0; i == 2 && k <= i; k++) assert_true(fcntl(fds[k], F_GETFL) & O_NONBLOCK);
        if (i == 2) assert_int_equal(fds[2], last);
        for (uint32_t k = 0; i == 2 && k <= i; k++) close(fds[k]);
    }
    socket_store_fini(&s);
}

static void what_nobody_takes_is_closed(void **state)
{
    (void)state;
    struct socket_store s = { 0 };
    struct pass_message m;
    struct err err;
    fill(&m, "1 - 127.0.0.1:80\n", 1);
    int fd = m.fds[0];
    assert_int_equal(socket_store_read(&s, &m, m.text, &err), 0);
    socket_store_fini(&s);
    assert_false(is_open(fd));
}

static void what_is_no_such_message_is_refused_and_all_of_it_closed(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "1",
        "1 - 127.0.0.1:80",
        "x - 127.0.0.1:80\n",
        "0 - 127.0.0.1:80\n",
        "-1 - a:1\n",
        "1 ? a:1\n",
        "1 - \n",
        "1 - nowhere\n",
        "3 - 127.0.0.1:80\n",
        "\n",
        "1 -\n",
        "65 - 127.0.0.1:80\n",
        "1 - 127.0.0.1:80\nx",
        "18446744073709551617 - 127.0.0.1:80\n",
        "1 - 127.0.0.1:80\n2 - 127.0.0.1:81\n",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct socket_store s = { 0 };
        struct pass_message m;
        struct err err = { "" };
        fill(&m, texts[i], 2);
        int fds[2] = { m.fds[0], m.fds[1] };
        int result = socket_store_read(&s, &m, m.text, &err);
        assert_int_equal(result, *texts[i] ? -1 : 0);
        if (result < 0) assert_true(*err.text);
        socket_store_fini(&s);
        assert_false(is_open(fds[0]) || is_open(fds[1]));
    }
}

static void what_is_for_datagrams_is_another_address(void **state)
{
    (void)state;
    struct socket_store s = { 0 };
    struct pass_message m;
    struct err err;
    char memory[256];
    struct text t = text_over(memory, sizeof(memory));
    struct address a = address_of("127.0.0.1:53");
    int fds[2];
    socket_store_write(&t, &(struct socket_gift){ .address = a }, 1);
    socket_store_write(&t, &(struct socket_gift){ .address = a, .is_udp = true }, 2);
    assert_string_equal(text_cstr(&t), "1 - 127.0.0.1:53\n2 u 127.0.0.1:53\n");
    fill(&m, text_cstr(&t), 3);
    int second = m.fds[1];
    assert_int_equal(socket_store_read(&s, &m, m.text, &err), 0);
    assert_int_equal(socket_store_count(&s, &a, false), 1);
    assert_int_equal(socket_store_count(&s, &a, true), 2);
    assert_false(socket_store_take(&s, &a, true, fds));
    assert_int_equal(fds[0], second);
    close(fds[0]);
    close(fds[1]);
    socket_store_fini(&s);
}

static void only_a_socket_that_listens_is_adopted(void **state)
{
    (void)state;
    struct socket_store s = { 0 };
    struct err err;
    struct address any = address_of("127.0.0.1:0");
    int datagram = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        stream = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(socket_store_adopt(&s, datagram, &err), -1);
    assert_int_equal(bind(stream, &any.sa.any, any.len), 0);
    assert_int_equal(socket_store_adopt(&s, stream, &err), -1);
    assert_int_equal(listen(stream, 1), 0);
    assert_int_equal(socket_store_adopt(&s, stream, &err), 0);
    assert_true(is_open(datagram));
    assert_int_equal(bind(datagram, &any.sa.any, any.len), 0);
    assert_int_equal(socket_store_adopt(&s, datagram, &err), 0);
    any.len = sizeof(any.sa);
    assert_int_equal(getsockname(stream, &any.sa.any, &any.len), 0);
    assert_int_equal(socket_store_count(&s, &any, false), 1);
    any.len = sizeof(any.sa);
    assert_int_equal(getsockname(datagram, &any.sa.any, &any.len), 0);
    assert_int_equal(socket_store_count(&s, &any, true), 1);
    socket_store_fini(&s);
}

static void messages_arrive_whole_with_their_descriptors(void **state)
{
    (void)state;
    int ends[2], fds[PASS_FDS_MAX];
    struct pass_message m;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
    assert_true(pass_is_own_user(ends[0]));
    assert_int_equal(pass_receive(ends[1], &m), PASS_AGAIN);
    for (uint32_t i = 0; i < PASS_FDS_MAX; i++) fds[i] = ends[0];
    assert_int_equal(pass_send(ends[0], SLICE("first"), fds, PASS_FDS_MAX), PASS_OK);
    assert_int_equal(pass_send(ends[0], SLICE("second"), NULL, 0), PASS_OK);
    assert_int_equal(pass_receive(ends[1], &m), PASS_OK);
    assert_string_equal(m.text, "first");
    assert_int_equal(m.fd_count, PASS_FDS_MAX);
    assert_true(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC);
    pass_close_fds(&m);
    assert_int_equal(pass_receive(ends[1], &m), PASS_OK);
    assert_string_equal(m.text, "second");
    assert_int_equal(m.fd_count, 0);
    close(ends[0]);
    assert_int_equal(pass_receive(ends[1], &m), PASS_END);
    assert_int_equal(pass_send(ends[1], SLICE("x"), NULL, 0), PASS_END);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_and_taken_by_its_address),
        cmocka_unit_test(what_nobody_takes_is_closed),
        cmocka_unit_test(what_is_no_such_message_is_refused_and_all_of_it_closed),
        cmocka_unit_test(what_is_for_datagrams_is_another_address),
        cmocka_unit_test(only_a_socket_that_listens_is_adopted),
        cmocka_unit_test(messages_arrive_whole_with_their_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
