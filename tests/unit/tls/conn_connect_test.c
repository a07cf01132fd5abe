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

static struct tls_upstream *upstream;
static struct address address;
static unsigned opened, failed;
static struct tls_target target;

static void on_opened(void *watcher, const struct transport *t)
{
    (void)watcher, (void)t;
    opened++;
}

static void on_failed(void *watcher, const struct transport *t)
{
    (void)watcher, (void)t;
    failed++;
}

static const struct tls_watch watch = { .on_opened = on_opened, .on_failed = on_failed };

static void make_upstream(const struct tls_upstream_conf *rules)
{
    const char *key = NULL;
    struct err err;
    tls_upstream_put(upstream);
    upstream = NULL;
    if (tls_upstream_new(&upstream, rules, &key, &err) < 0) fail_msg("%s", err.text);
    target = (struct tls_target){ .upstream = upstream,
                                  .name = "a.example",
                                  .address = &address,
                                  .alpn = TLS_CONN_HTTP_1_1,
                                  .watch = &watch };
}

static int set_up(void **state)
{
    struct err err;
    pair_set_up(state);
    opened = failed = 0;
    assert_int_equal(address_parse(SLICE("10.0.0.3:443"), false, &address, &err), 0);
    make_upstream(&(struct tls_upstream_conf){ .ca = pki_path("ca", ".pem") });
    return 0;
}

static int tear_down(void **state)
{
    tls_upstream_put(upstream);
    upstream = NULL;
    return pair_tear_down(state);
}

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

static SSL_CTX *server(const char *file, int version)
{
    SSL_CTX *ctx = pair_server_context(file);
    SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_min_proto_version(ctx, version);
    return ctx;
}

static void a_server_that_is_who_it_should_be_is_spoken_to(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *ctx = server("ec", versions[v]);
        struct pair p;
        char data[16];
        size_t got = 0;
        struct iovec iov = { (char[]){ 'h', 'i' }, 2 };
        pair_open_towards(&p, ctx, &target);
        pair_shake_well(&p);
        assert_string_equal(SSL_get_servername(p.client, TLSEXT_NAMETYPE_host_name), "a.example");
        assert_false(p.near.has_sent); /* nothing of the owner's */
        assert_int_equal(opened, v + 1);
        assert_int_equal(transport_send(&p.near, &iov, 1, &got), IO_OK);
        assert_true(p.near.has_sent);
        while (pair_carry(&p)) {}
        assert_int_equal(SSL_read(p.client, data, sizeof(data)), 2);
        pair_close(&p);
        SSL_CTX_free(ctx);
    }
    assert_int_equal(worker.openings.live, 0);
}

static size_t handshake_bytes(SSL_CTX *ctx)
{
    struct pair p;
    pair_open_towards(&p, ctx, &target);
    pair_shake_well(&p);
    size_t bytes = p.to_near;
    pair_close(&p);
    tls_sessions_fini(&worker.sessions);
    tls_sessions_init(&worker.sessions, &loop);
    return bytes;
}

/* The lengths of signatures vary by a few bytes: an RSA key's do not. */
static void a_handshake_that_is_cut_anywhere_fails_once_and_leaves_nothing(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *ctx = server("rsa", versions[v]);
        SSL_CTX_set_num_tickets(ctx, 0); /* they come behind it */
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
        size_t bytes = handshake_bytes(ctx);
        for (size_t at = 0; at < bytes; at++) {
            struct pair p;
            pair_open_towards(&p, ctx, &target);
            p.limit = at;
            assert_int_equal(pair_shake(&p), IO_AGAIN);
            unsigned before = failed;
            shutdown(p.far, SHUT_WR);
            loop_turn(&loop, 0);
            assert_int_equal(transport_open(&p.near), IO_FAIL);
            assert_int_equal(p.near.fault, END_SERVER_TLS_FAILED);
            assert_string_equal(p.near.fault_words,
                                "10.0.0.3:443 closed the connection in the middle of the handshake");
            assert_int_equal(transport_open(&p.near), IO_FAIL);
            assert_int_equal(failed, before + 1);
            pair_close(&p);
            assert_int_equal(worker.conns.live, 0);
            assert_int_equal(worker.openings.live, 0);
            assert_int_equal(worker.sessions.count, 0);
            assert_int_equal(loop.blocks.live, 0);
        }
        SSL_CTX_free(ctx);
    }
}

static void a_handshake_byte_by_byte_is_one(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *ctx = server("ec", versions[v]);
        struct pair p;
        pair_open_towards(&p, ctx, &target);
        p.carry_max = 1;
        pair_shake_well(&p);
        pair_close(&p);
        SSL_CTX_free(ctx);
    }
}

static void open_once(SSL_CTX *ctx, bool expects_resumed)
{
    struct pair p;
    char byte;
    size_t got;
    pair_open_towards(&p, ctx, &target);
    pair_shake_well(&p);
    assert_int_equal(SSL_session_reused(p.client), expects_resumed);
    assert_int_equal(tls_conn_is_resumed(&p.near), expects_resumed);
    do assert_int_equal(transport_recv(&p.near, &byte, 1, &got), IO_AGAIN); /* tickets */
    while (pair_carry(&p));
    pair_close(&p);
}

static void sessions_are_resumed_and_renewed_by_tickets(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *ctx = server("ec", versions[v]);
        SSL_CTX_set_num_tickets(ctx, 1);
        open_once(ctx, false);
        for (unsigned i = 0; i < 5; i++) open_once(ctx, true);
        assert_int_equal(worker.sessions.count, 1);
        /* Under another name it is another server. */
        target.name = "b.example";
        struct pair p;
        pair_open_towards(&p, ctx, &target);
        assert_int_equal(pair_shake(&p), IO_FAIL);
        pair_close(&p);
        target.name = "a.example";
        open_once(ctx, true);
        tls_sessions_fini(&worker.sessions);
        tls_sessions_init(&worker.sessions, &loop);
        SSL_CTX_free(ctx);
    }
}

static void a_session_that_a_server_knows_no_more_is_no_obstacle(void **state)
{
    (void)state;
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *ctx = server("ec", versions[v]), *other = server("ec", versions[v]);
        open_once(ctx, false);
        open_once(other, false);
        SSL_CTX_free(ctx);
        SSL_CTX_free(other);
    }
}

static void a_ticket_on_an_idle_connection_does_not_kill_it(void **state)
{
    (void)state;
    SSL_CTX *ctx = server("ec", TLS1_3_VERSION);
    struct pair p;
    SSL_CTX_set_num_tickets(ctx, 0);
    pair_open_towards(&p, ctx, &target);
    pair_shake_well(&p);
    assert_false(transport_is_dead(&p.near));
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(SSL_new_session_ticket(p.client), 1);
        assert_int_equal(SSL_do_handshake(p.client), 1);
        while (pair_carry(&p)) {}
        assert_false(transport_is_dead(&p.near));
        assert_int_equal(worker.sessions.count, i + 1);
    }
    assert_int_equal(SSL_write(p.client, "x", 1), 1); /* what nobody asked for does */
    while (pair_carry(&p)) {}
    assert_true(transport_is_dead(&p.near));
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void an_end_without_a_word_is_a_cut(void **state)
{
    (void)state;
    for (int says_end = 0; says_end < 2; says_end++) {
        SSL_CTX *ctx = server("ec", TLS1_3_VERSION);
        struct pair p;
        char data[16];
        size_t got;
        pair_open_towards(&p, ctx, &target);
        pair_shake_well(&p);
        SSL_write(p.client, "all", 3);
        if (says_end) SSL_shutdown(p.client);
        while (pair_carry(&p)) {}
        shutdown(p.far, SHUT_WR);
        loop_turn(&loop, 0);
        assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_OK);
        assert_int_equal(got, 3);
        assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), says_end ? IO_EOF : IO_FAIL);
        assert_int_equal(p.near.fault, says_end ? END_NONE : END_SERVER_TLS_CUT);
        pair_close(&p);
        SSL_CTX_free(ctx);
    }
}

static void what_came_is_read_although_nothing_can_be_sent(void **state)
{
    (void)state;
    SSL_CTX *ctx = server("ec", TLS1_3_VERSION);
    struct pair p;
    char data[16];
    size_t got, sent;
    struct iovec iov = { data, sizeof(data) };
    memset(data, 0, sizeof(data));
    pair_open_towards(&p, ctx, &target);
    pair_shake_well(&p);
    SSL_write(p.client, "early", 5);
    while (pair_carry(&p)) {}
    shutdown(p.far, SHUT_RD); /* EPIPE */
    assert_int_equal(transport_send(&p.near, &iov, 1, &sent), IO_FAIL);
    assert_false(p.near.has_sent); /* not a byte of it */
    assert_int_equal(transport_send(&p.near, &iov, 1, &sent), IO_FAIL);
    assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_OK);
    assert_int_equal(got, 5);
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void expect_refusal(SSL_CTX *ctx, enum end_reason fault, const char *words)
{
    struct pair p;
    pair_open_towards(&p, ctx, &target);
    assert_int_equal(pair_shake(&p), IO_FAIL);
    assert_int_equal(p.near.fault, fault);
    assert_string_equal(p.near.fault_words, words);
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void who_is_not_believed_is_told_why(void **state)
{
    (void)state;
    char words[400];
    pki_make(&(struct pki_wish){
        .file = "late", .names = "DNS:a.example", .issuer = "ca", .from_days = -20, .days = 5 });
    pki_make(&(struct pki_wish){
        .file = "early", .names = "DNS:a.example", .issuer = "ca", .from_days = 5, .days = 5 });
    pki_make(&(struct pki_wish){ .file = "stranger", .names = "DNS:a.example", .days = 30 });
    pki_make(&(struct pki_wish){ .file = "common", .common_name = "a.example", .issuer = "ca", .days = 30 });
    pki_make(&(struct pki_wish){
        .file = "wild", .names = "DNS:*.example,IP:10.0.0.3", .issuer = "ca", .days = 30 });
    struct pair p;
    SSL_CTX *ctx = server("late", TLS1_3_VERSION);
    pair_open_towards(&p, ctx, &target);
    assert_int_equal(pair_shake(&p), IO_FAIL);
    assert_int_equal(p.near.fault, END_SERVER_CERTIFICATE);
    assert_non_null(strstr(p.near.fault_words, "the certificate of 10.0.0.3:443 expired on 20"));
    assert_int_equal(p.client_error,
                     SSL_AD_REASON_OFFSET + SSL_AD_CERTIFICATE_EXPIRED); /* which the server hears */
    pair_close(&p);
    SSL_CTX_free(ctx);
    ctx = server("early", TLS1_2_VERSION);
    pair_open_towards(&p, ctx, &target);
    assert_int_equal(pair_shake(&p), IO_FAIL);
    assert_non_null(strstr(p.near.fault_words, "is not valid before 20"));
    pair_close(&p);
    SSL_CTX_free(ctx);
    snprintf(words, sizeof(words), "the certificate of 10.0.0.3:443 is signed by itself, which is not in %s",
             pki_path("ca", ".pem"));
    expect_refusal(server("stranger", TLS1_3_VERSION), END_SERVER_CERTIFICATE, words);
    expect_refusal(server("common", TLS1_3_VERSION), END_SERVER_CERTIFICATE,
                   "the certificate of 10.0.0.3:443 is for no name at all, not for a.example; if it is the "
                   "right one, say "
                   "so as `tls: {name: …}`");
    target.name = "b.a.example";
    expect_refusal(
        server("wild", TLS1_3_VERSION), END_SERVER_CERTIFICATE,
        "the certificate of 10.0.0.3:443 is for *.example, 10.0.0.3, not for b.a.example; if it is the right "
        "one, say so as `tls: {name: …}`");
    assert_int_equal(opened, 0);
}

static void an_address_is_verified_as_one(void **state)
{
    (void)state;
    pki_make(&(struct pki_wish){ .file = "address", .names = "IP:10.0.0.3", .issuer = "ca", .days = 30 });
    pki_make(&(struct pki_wish){ .file = "name", .names = "DNS:10.0.0.3", .issuer = "ca", .days = 30 });
    SSL_CTX *ctx = server("address", TLS1_3_VERSION);
    struct pair p;
    target.name = NULL;
    pair_open_towards(&p, ctx, &target);
    pair_shake_well(&p);
    assert_null(SSL_get_servername(p.client, TLSEXT_NAMETYPE_host_name));
    pair_close(&p);
    SSL_CTX_free(ctx);
    expect_refusal(server("name", TLS1_3_VERSION), END_SERVER_CERTIFICATE,
                   "the certificate of 10.0.0.3:443 is for 10.0.0.3, not for 10.0.0.3; if it is the right "
                   "one, say so as "
                   "`tls: {name: …}`");
}

static void a_server_without_any_name_is_not_believed(void **state)
{
    (void)state;
    struct err err;
    target.name = NULL;
    assert_int_equal(address_parse(SLICE("unix:/tmp/s"), false, &address, &err), 0);
    expect_refusal(server("ec", TLS1_3_VERSION), END_SERVER_CERTIFICATE,
                   "unix:/tmp/s has no name to be verified by; give it as `tls: {name: …}`");
}

static void what_is_no_tls_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *words;
        enum end_reason fault;
    } cases[] = {
        { "HTTP/1.1 400 Bad Request\r\n",
          "10.0.0.3:443 answers in plain HTTP; leave `tls` out, or use its other port", END_SERVER_NOT_TLS },
        { "220 ready\r\n", "what 10.0.0.3:443 says is no TLS", END_SERVER_NOT_TLS },
        { "\x16\x02\x01", "what 10.0.0.3:443 says is no TLS", END_SERVER_NOT_TLS },
        { "\x15\x03\x03\x00\x02\x02\x28", "10.0.0.3:443 ended it with the alert \"handshake failure\"",
          END_SERVER_TLS_FAILED },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        SSL_CTX *ctx = server("ec", TLS1_3_VERSION);
        size_t len = i == 3 ? 7 : strlen(cases[i].bytes);
        struct pair p;
        pair_open_towards(&p, ctx, &target);
        assert_int_equal(transport_open(&p.near), IO_AGAIN);
        assert_int_equal(send(p.far, cases[i].bytes, len, 0), len);
        loop_turn(&loop, 0);
        assert_int_equal(transport_open(&p.near), IO_FAIL);
        assert_int_equal(p.near.fault, cases[i].fault);
        assert_string_equal(p.near.fault_words, cases[i].words);
        pair_close(&p);
        SSL_CTX_free(ctx);
    }
}

/* TLS 1.3: the handshake is over for us, and a request is out, when the server finds our certificate wanting. */
static void a_refusal_that_comes_late_is_one_of_the_handshake(void **state)
{
    (void)state;
    SSL_CTX *ctx = server("ec", TLS1_3_VERSION);
    struct pair p;
    char data[16] = "GET /";
    size_t got;
    struct iovec iov = { data, 5 };
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    pair_open_towards(&p, ctx, &target);
    assert_int_equal(pair_shake(&p), IO_OK);
    assert_int_equal(transport_send(&p.near, &iov, 1, &got), IO_OK);
    while (pair_carry(&p)) {}
    assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_FAIL);
    assert_int_equal(p.near.fault, END_SERVER_TLS_FAILED);
    assert_string_equal(p.near.fault_words,
                        "the server ended it with the alert \"certificate required\"; give it one as "
                        "`tls: {certificate: …}`");
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void a_certificate_is_shown_to_who_asks(void **state)
{
    (void)state;
    struct tls_certificate_conf own = { pki_path("client", ".pem"), pki_path("client", ".key") };
    make_upstream(&(struct tls_upstream_conf){ .ca = pki_path("ca", ".pem"), .certificate = &own });
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *ctx = server("ec", versions[v]);
        struct pair p;
        SSL_CTX_load_verify_file(ctx, pki_path("ca", ".pem"));
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
        pair_open_towards(&p, ctx, &target);
        pair_shake_well(&p);
        assert_non_null(SSL_get0_peer_certificate(p.client));
        pair_close(&p);
        SSL_CTX_free(ctx);
    }
}

static void one_that_is_given_up_is_heard_of(void **state)
{
    (void)state;
    SSL_CTX *ctx = server("ec", TLS1_3_VERSION);
    struct pair p;
    pair_open_towards(&p, ctx, &target);
    assert_int_equal(transport_open(&p.near), IO_AGAIN);
    pair_close(&p);
    assert_int_equal(failed, 1);
    assert_int_equal(opened, 0);
    SSL_CTX_free(ctx);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_server_that_is_who_it_should_be_is_spoken_to),
        TEST(a_handshake_that_is_cut_anywhere_fails_once_and_leaves_nothing),
        TEST(a_handshake_byte_by_byte_is_one),
        TEST(sessions_are_resumed_and_renewed_by_tickets),
        TEST(a_session_that_a_server_knows_no_more_is_no_obstacle),
        TEST(a_ticket_on_an_idle_connection_does_not_kill_it),
        TEST(an_end_without_a_word_is_a_cut),
        TEST(what_came_is_read_although_nothing_can_be_sent),
        TEST(who_is_not_believed_is_told_why),
        TEST(an_address_is_verified_as_one),
        TEST(a_server_without_any_name_is_not_believed),
        TEST(what_is_no_tls_is_told_apart),
        TEST(a_refusal_that_comes_late_is_one_of_the_handshake),
        TEST(a_certificate_is_shown_to_who_asks),
        TEST(one_that_is_given_up_is_heard_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
