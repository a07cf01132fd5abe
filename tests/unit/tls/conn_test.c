#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "tls/pair.h"

/* A stream that anybody can make from its offset alone. */
static char byte_at(size_t i)
{
    return (char)(i * 2654435761u >> 13);
}

static void fill(char *data, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++) data[i] = byte_at(from + i);
}

static void expect(const char *data, size_t from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (data[i] != byte_at(from + i)) fail_msg("byte %zu is another", from + i);
}

/* Sends `total` bytes from us to the client, in pieces of odd sizes, to a socket that takes little. */
static void send_all(struct pair *p, size_t total, struct rng *rng)
{
    static char data[300000], got[65536];
    size_t sent = 0, taken = 0;
    for (unsigned i = 0; taken < total && i < TURNS_MAX; i++) {
        size_t len = rng_below(rng, 4) ? rng_below(rng, 3000) + 1
                                       : rng_below(rng, (uint32_t)sizeof(data)) + 1;
        if (len > total - sent) len = total - sent;
        if (len && p->near.is_writable) {
            fill(data, sent, len);
            size_t first = rng_below(rng, (uint32_t)len + 1), now = 0;
            struct iovec iov[3] = { { data, first }, { data + first, 0 }, { data + first, len - first } };
            enum io io = transport_send(&p->near, iov, 3, &now);
            assert_true(io == IO_OK || io == IO_AGAIN);
            assert_true(now == len || !p->near.is_writable);
            sent += now;
        }
        p->carry_max = rng_below(rng, 5000) + 1;
        pair_carry(p);
        for (int n; (n = SSL_read(p->client, got, sizeof(got))) > 0; taken += (size_t)n)
            expect(got, taken, (size_t)n);
    }
    assert_int_equal(taken, total);
}

static void receive_all(struct pair *p, size_t total, struct rng *rng)
{
    static char data[65536];
    size_t sent = 0, taken = 0;
    for (unsigned i = 0; taken < total && i < TURNS_MAX; i++) {
        size_t len = rng_below(rng, 40000) + 1;
        if (len > total - sent) len = total - sent;
        if (len && BIO_ctrl_pending(p->from_client) < 100000) {
            fill(data, sent, len);
            assert_int_equal(SSL_write(p->client, data, (int)len), len);
            sent += len;
        }
        p->carry_max = rng_below(rng, 50000) + 1;
        pair_carry(p);
        for (;;) {
            static const uint32_t sizes[] = { 1, 7, 2048, 16384, 20000, 32768, 65536 };
            size_t got = 0;
            enum io io = transport_recv(&p->near, data, sizes[rng_below(rng, 7)], &got);
            if (io == IO_AGAIN) break;
            assert_int_equal(io, IO_OK);
            assert_true(got > 0);
            expect(data, taken, got);
            taken += got;
        }
        assert_false(p->near.is_readable);
    }
    assert_int_equal(taken, total);
}

static void make_narrow(struct pair *p)
{
    int bytes = 4608;
    setsockopt(p->near.io.fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
}

static void megabytes_go_both_ways_in_odd_pieces(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        SSL_CTX *ctx = pair_client_context();
        struct pair p;
        struct rng rng;
        rng_seed(&rng, seed);
        SSL_CTX_set_max_proto_version(ctx, seed % 2 ? TLS1_2_VERSION : TLS1_3_VERSION);
        pair_open(&p, ctx, NULL);
        make_narrow(&p);
        pair_shake_well(&p);
        send_all(&p, 1100000 + seed, &rng);
        assert_true(p.near.has_sent);
        receive_all(&p, 1100000 + seed, &rng);
        pair_close(&p);
        SSL_CTX_free(ctx);
    }
}

static void what_a_stalled_reader_leaves_is_one_stretch(void **state)
{
    (void)state;
    static char data[1 << 20];
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    size_t sent = 0;
    struct iovec iov = { data, sizeof(data) };
    pair_open(&p, ctx, NULL);
    make_narrow(&p);
    pair_shake_well(&p);
    assert_int_equal(transport_send(&p.near, &iov, 1, &sent), IO_OK);
    assert_true(sent < sizeof(data));
    assert_true(p.near.holds_rest);
    assert_false(p.near.is_writable);
    assert_int_equal(loop.blocks.live, 1);
    assert_true(loop.blocks.live_bytes <= 64 << 10);
    assert_int_equal(transport_flush(&p.near), IO_AGAIN);
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void the_end_that_was_said_is_one_and_a_cut_is_none(void **state)
{
    (void)state;
    for (int says = 0; says < 2; says++) {
        SSL_CTX *ctx = pair_client_context();
        struct pair p;
        char data[100];
        size_t got = 0;
        pair_open(&p, ctx, NULL);
        pair_shake_well(&p);
        assert_int_equal(SSL_write(p.client, "bye", 3), 3);
        if (says) SSL_shutdown(p.client);
        pair_carry(&p);
        shutdown(p.far, SHUT_WR);
        loop_turn(&loop, 0);
        assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_OK);
        assert_int_equal(got, 3);
        assert_true(p.near.is_readable);
        assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), says ? IO_EOF : IO_FAIL);
        assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), says ? IO_EOF : IO_FAIL);
        pair_close(&p);
        SSL_CTX_free(ctx);
    }
}

/* The client sees the data, then the end that was said, then the FIN. */
static void expect_end(struct pair *p, const char *expected)
{
    char data[100];
    while (pair_carry(p)) {}
    int n = SSL_read(p->client, data, sizeof(data));
    if (*expected) {
        assert_int_equal(n, strlen(expected));
        assert_memory_equal(data, expected, strlen(expected));
        n = SSL_read(p->client, data, sizeof(data));
    }
    assert_int_equal(SSL_get_error(p->client, n), SSL_ERROR_ZERO_RETURN);
    assert_int_equal(recv(p->far, data, 1, MSG_DONTWAIT), 0);
}

static void the_end_is_said_with_the_last_bytes_or_alone(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        SSL_CTX *ctx = pair_client_context();
        struct pair p;
        size_t sent = 0;
        char last[] = "last";
        struct iovec iov = { last, 4 };
        pair_open(&p, ctx, NULL);
        pair_shake_well(&p);
        while (pair_carry(&p)) {}
        p.near.ends_with_this = way == 0;
        assert_int_equal(transport_send(&p.near, &iov, 1, &sent), IO_OK);
        size_t with_data = pair_waiting_at(p.far);
        if (way == 1) assert_int_equal(transport_shutdown(&p.near), IO_OK);
        if (way != 1) transport_close(&p.near, false);
        if (way == 0) assert_int_equal(pair_waiting_at(p.far), with_data); /* nothing more was sent */
        expect_end(&p, "last");
        pair_close(&p);
        SSL_CTX_free(ctx);
    }
}

static void a_shutdown_goes_behind_what_is_kept(void **state)
{
    (void)state;
    static char data[200000], got[65536];
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    size_t sent = 0, taken = 0;
    pair_open(&p, ctx, NULL);
    make_narrow(&p);
    pair_shake_well(&p);
    fill(data, 0, sizeof(data));
    struct iovec iov = { data, sizeof(data) };
    assert_int_equal(transport_send(&p.near, &iov, 1, &sent), IO_OK);
    assert_int_equal(transport_shutdown(&p.near), IO_OK);
    int n = 0;
    for (unsigned i = 0; i < TURNS_MAX && taken < sent; i++) {
        pair_carry(&p);
        for (; (n = SSL_read(p.client, got, sizeof(got))) > 0; taken += (size_t)n)
            expect(got, taken, (size_t)n);
    }
    expect_end(&p, "");
    assert_int_equal(taken, sent);
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void a_request_behind_the_handshake_is_read_without_another_event(void **state)
{
    (void)state;
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    char data[LOOP_HOLD_BYTES];
    size_t got = 0;
    pair_open(&p, ctx, NULL);
    SSL_do_handshake(p.client);
    assert_int_equal(transport_open(&p.near), IO_AGAIN);
    pair_carry(&p);
    while (transport_open(&p.near) == IO_AGAIN && !SSL_is_init_finished(p.client)) {
        pair_carry(&p);
        SSL_do_handshake(p.client);
    }
    assert_int_equal(SSL_write(p.client, "GET /", 5), 5);
    assert_int_equal(SSL_write(p.client, " HTTP/1.1", 9), 9);
    pair_carry(&p);
    while (transport_open(&p.near) == IO_AGAIN) pair_carry(&p);
    assert_true(p.near.is_readable);
    assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_OK);
    assert_int_equal(got, 14);
    assert_memory_equal(data, "GET / HTTP/1.1", 14);
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void it_goes_on_where_it_is_moved_to(void **state)
{
    (void)state;
    SSL_CTX *ctx = pair_client_context();
    struct pair p, to = { .calls = 0 };
    struct rng rng;
    rng_seed(&rng, 1);
    pair_open(&p, ctx, NULL);
    pair_shake_well(&p);
    assert_int_equal(transport_move(&p.near, &to.near, pair_on_near), 0);
    assert_true(transport_is_closed(&p.near));
    assert_int_equal(transport_move(&to.near, &p.near, pair_on_near), 0);
    send_all(&p, 100000, &rng);
    receive_all(&p, 100000, &rng);
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void keys_that_are_updated_without_end_are_answered_only_as_far_as_somebody_reads(void **state)
{
    (void)state;
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    char data[100];
    size_t got = 0;
    pair_open(&p, ctx, NULL);
    make_narrow(&p);
    pair_shake_well(&p);
    while (pair_carry(&p)) {}
    for (unsigned i = 0; i < 3000; i++) {
        SSL_key_update(p.client, SSL_KEY_UPDATE_REQUESTED);
        SSL_write(p.client, "", 0);
        SSL_do_handshake(p.client);
        size_t waiting = BIO_ctrl_pending(p.from_client);
        char *start;
        BIO_get_mem_data(p.from_client, &start);
        ssize_t n = send(p.far, start, waiting, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            char *gone = malloc((size_t)n);
            BIO_read(p.from_client, gone, (int)n);
            free(gone);
        }
        loop_turn(&loop, 0);
        enum io io = transport_recv(&p.near, data, sizeof(data), &got);
        assert_true(io == IO_AGAIN || io == IO_FAIL);
        if (io == IO_FAIL) break;
        assert_true(loop.blocks.live_bytes <= 64 << 10);
    }
    pair_close(&p);
    SSL_CTX_free(ctx);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(megabytes_go_both_ways_in_odd_pieces),
        TEST(what_a_stalled_reader_leaves_is_one_stretch),
        TEST(the_end_that_was_said_is_one_and_a_cut_is_none),
        TEST(the_end_is_said_with_the_last_bytes_or_alone),
        TEST(a_shutdown_goes_behind_what_is_kept),
        TEST(it_goes_on_where_it_is_moved_to),
        TEST(a_request_behind_the_handshake_is_read_without_another_event),
        TEST(keys_that_are_updated_without_end_are_answered_only_as_far_as_somebody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
