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

static void a_client_and_we_agree(void **state)
{
    (void)state;
    static const struct {
        int version;
        const char *name, *cipher;
    } cases[] = { { TLS1_2_VERSION, "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256" },
                  { TLS1_3_VERSION, "TLSv1.3", "TLS_AES_256_GCM_SHA384" } };
    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *ctx = pair_client_context();
        struct pair p;
        SSL_CTX_set_max_proto_version(ctx, cases[i].version);
        pair_open(&p, ctx, TLS_CONN_HTTP_1_1);
        static const unsigned char offered[] = "\x02h2\x08http/1.1";
        SSL_set_alpn_protos(p.client, offered, sizeof(offered) - 1);
        pair_shake_well(&p);
        assert_string_equal(tls_conn_version(&p.near), cases[i].name);
        assert_string_equal(tls_conn_cipher(&p.near), cases[i].cipher);
        assert_string_equal(tls_conn_name(&p.near), "a.example");
        assert_true(slice_equal(tls_conn_alpn(&p.near), SLICE("http/1.1")));
        assert_false(tls_conn_is_resumed(&p.near));
        assert_false(p.near.has_sent); /* nothing of the owner's */
        pair_close(&p);
        SSL_CTX_free(ctx);
    }
}

static void a_client_gets_the_key_that_it_can_verify(void **state)
{
    (void)state;
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    SSL_CTX_set1_sigalgs_list(ctx, "RSA-PSS+SHA256:ECDSA+SHA256"); /* the CA's is ECDSA */
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_cipher_list(ctx, "ECDHE-RSA-AES128-GCM-SHA256");
    pair_open(&p, ctx, NULL);
    pair_shake_well(&p);
    assert_string_equal(tls_conn_cipher(&p.near), "ECDHE-RSA-AES128-GCM-SHA256");
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static size_t handshake_bytes(SSL_CTX *ctx)
{
    struct pair p;
    pair_open(&p, ctx, NULL);
    pair_shake_well(&p);
    size_t bytes = p.to_near;
    pair_close(&p);
    return bytes;
}

/* The lengths of what a client sends vary by its signatures' and keys' encoding; not without a certificate of its own. */
static void a_handshake_that_is_cut_anywhere_fails_once_and_leaves_nothing(void **state)
{
    (void)state;
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *ctx = pair_client_context();
        SSL_CTX_set_max_proto_version(ctx, versions[v]);
        size_t bytes = handshake_bytes(ctx);
        for (size_t at = 0; at < bytes; at++) {
            struct pair p;
            pair_open(&p, ctx, NULL);
            p.limit = at;
            assert_int_equal(pair_shake(&p), IO_AGAIN);
            shutdown(p.far, SHUT_WR);
            loop_turn(&loop, 0);
            assert_int_equal(transport_open(&p.near), IO_FAIL);
            assert_int_equal(p.near.fault, END_CLIENT_ABORT);
            assert_int_equal(transport_open(&p.near), IO_FAIL);
            pair_close(&p);
            assert_int_equal(worker.conns.live, 0);
            assert_int_equal(loop.blocks.live, 0);
        }
        SSL_CTX_free(ctx);
    }
}

static void a_handshake_byte_by_byte_is_one(void **state)
{
    (void)state;
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *ctx = pair_client_context();
        struct pair p;
        SSL_CTX_set_max_proto_version(ctx, versions[v]);
        pair_open(&p, ctx, NULL);
        p.carry_max = 1;
        pair_shake_well(&p);
        pair_close(&p);
        SSL_CTX_free(ctx);
    }
}

static void renegotiation_is_refused_and_the_connection_goes_on(void **state)
{
    (void)state;
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    char data[100];
    size_t got = 0;
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    pair_open(&p, ctx, NULL);
    pair_shake_well(&p);
    assert_int_equal(SSL_renegotiate(p.client), 1);
    SSL_do_handshake(p.client);
    while (pair_carry(&p)) assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_AGAIN);
    assert_int_equal(SSL_do_handshake(p.client), -1); /* no_renegotiation (RFC 5246 7.2.2) */
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void a_session_is_resumed_by_its_ticket(void **state)
{
    (void)state;
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    for (size_t v = 0; v < 2; v++) {
        SSL_CTX *ctx = pair_client_context();
        struct pair p;
        char data[16];
        SSL_CTX_set_max_proto_version(ctx, versions[v]);
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
        pair_open(&p, ctx, NULL);
        pair_shake_well(&p);
        while (pair_carry(&p)) {}
        SSL_read(p.client, data, sizeof(data)); /* the ticket */
        SSL_SESSION *session = SSL_get1_session(p.client);
        SSL_shutdown(p.client);
        pair_close(&p);
        pair_open(&p, ctx, NULL);
        SSL_set_session(p.client, session);
        pair_shake_well(&p);
        assert_true(tls_conn_is_resumed(&p.near));
        pair_close(&p);
        SSL_SESSION_free(session);
        SSL_CTX_free(ctx);
    }
}

static void expect_alert(struct pair *p, enum end_reason fault, const char *words, int alert)
{
    assert_int_equal(pair_shake(p), IO_FAIL);
    assert_int_equal(p->near.fault, fault);
    assert_string_equal(p->near.fault_words ? p->near.fault_words : "", words);
    assert_int_equal(p->client_error, SSL_AD_REASON_OFFSET + alert);
    pair_close(p);
}

static void a_client_hears_what_is_wrong(void **state)
{
    (void)state;
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    pair_open(&p, ctx, NULL);
    SSL_set_tlsext_host_name(p.client, "b.example");
    expect_alert(&p, END_TLS_UNKNOWN_NAME, "", SSL_AD_UNRECOGNIZED_NAME);
    pair_open(&p, ctx, TLS_CONN_HTTP_1_1);
    SSL_set_alpn_protos(p.client, (const unsigned char *)"\x02h2", 3);
    expect_alert(&p, END_TLS_FAILED, "no application protocol", SSL_AD_NO_APPLICATION_PROTOCOL);
    SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
    SSL_CTX_set_security_level(ctx, 0);
    pair_open(&p, ctx, NULL);
    expect_alert(&p, END_TLS_FAILED, "unsupported protocol", SSL_AD_PROTOCOL_VERSION);
    SSL_CTX_free(ctx);
}

static void a_name_of_nobodys_gets_the_first_where_that_is_wanted(void **state)
{
    (void)state;
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    conf.unknown_name = TLS_UNKNOWN_FIRST;
    tls_slot_set(slot, tls_store_new(&conf, &(struct tls_store_asked){ .on_fault = pair_on_fault }));
    pair_open(&p, ctx, NULL);
    SSL_set_tlsext_host_name(p.client, "b.example");
    pair_shake_well(&p);
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void a_clients_certificate_is_asked_for(void **state)
{
    (void)state;
    struct tls_client_conf client = { .ca = pki_path("ca", ".pem"), .certificate = TLS_CLIENT_REQUIRE };
    conf.client = &client;
    tls_slot_set(slot, tls_store_new(&conf, &(struct tls_store_asked){ .on_fault = pair_on_fault }));
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION); /* of 1.3 a client hears after its handshake */
    pair_open(&p, ctx, NULL);
    expect_alert(&p, END_TLS_FAILED, "peer did not return a certificate", SSL_AD_HANDSHAKE_FAILURE);
    pki_make(&(struct pki_wish){ .file = "stranger", .days = 30 });
    SSL_CTX_use_certificate_file(ctx, pki_path("stranger", ".pem"), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(ctx, pki_path("stranger", ".key"), SSL_FILETYPE_PEM);
    pair_open(&p, ctx, NULL);
    expect_alert(&p, END_TLS_FAILED, "self-signed certificate", SSL_AD_UNKNOWN_CA);
    pki_make(&(struct pki_wish){ .file = "late", .issuer = "ca", .from_days = -10, .days = 5 });
    SSL_CTX_use_certificate_file(ctx, pki_path("late", ".pem"), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(ctx, pki_path("late", ".key"), SSL_FILETYPE_PEM);
    pair_open(&p, ctx, NULL);
    expect_alert(&p, END_TLS_FAILED, "certificate has expired", SSL_AD_CERTIFICATE_EXPIRED);
    SSL_CTX_use_certificate_file(ctx, pki_path("client", ".pem"), SSL_FILETYPE_PEM);
    SSL_CTX_use_PrivateKey_file(ctx, pki_path("client", ".key"), SSL_FILETYPE_PEM);
    pair_open(&p, ctx, NULL);
    pair_shake_well(&p);
    assert_non_null(tls_conn_peer(&p.near));
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void what_is_no_tls_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        enum end_reason fault;
    } cases[] = { { "GET / HTTP/1.1\r\n\r\n", END_PLAIN_ON_TLS },
                  { "P", END_PLAIN_ON_TLS },
                  { "\x16\x02", END_NOT_TLS },
                  { "\x80\x2e\x01", END_NOT_TLS },
                  { "ssh", END_NOT_TLS } };
    SSL_CTX *ctx = pair_client_context();
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct pair p;
        pair_open(&p, ctx, NULL);
        assert_int_equal(transport_open(&p.near), IO_AGAIN);
        assert_int_equal(send(p.far, cases[i].bytes, strlen(cases[i].bytes), 0), strlen(cases[i].bytes));
        loop_turn(&loop, 0);
        assert_int_equal(transport_open(&p.near), IO_FAIL);
        assert_int_equal(p.near.fault, cases[i].fault);
        pair_close(&p);
    }
    SSL_CTX_free(ctx);
}

static void http_that_comes_plain_to_a_speaker_of_http_can_be_answered(void **state)
{
    (void)state;
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    char data[100];
    size_t got = 0;
    pair_open(&p, ctx, TLS_CONN_HTTP_1_1);
    assert_int_equal(send(p.far, "GET /", 5, 0), 5);
    loop_turn(&loop, 0);
    assert_int_equal(transport_open(&p.near), IO_OK);
    assert_false(tls_conn_is(&p.near));
    assert_int_equal(p.near.fault, END_PLAIN_ON_TLS);
    assert_int_equal(transport_recv(&p.near, data, sizeof(data), &got), IO_OK);
    assert_int_equal(got, 5);
    pair_close(&p);
    SSL_CTX_free(ctx);
}

static void a_turn_has_room_for_so_many_handshakes(void **state)
{
    (void)state;
    SSL_CTX *ctx = pair_client_context();
    struct pair p;
    pair_open(&p, ctx, NULL);
    SSL_do_handshake(p.client);
    pair_carry(&p);
    worker.turn = loop.turns;
    worker.turn_ns = NS_PER_S; /* the others took it all */
    unsigned calls = p.calls;
    assert_int_equal(transport_open(&p.near), IO_AGAIN);
    assert_int_equal(pair_waiting_at(p.far), 0);
    loop_turn(&loop, 0);
    assert_true(p.calls > calls); /* it is its turn */
    pair_shake_well(&p);
    pair_close(&p);
    SSL_CTX_free(ctx);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, pair_set_up, pair_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_client_and_we_agree),
        TEST(a_client_gets_the_key_that_it_can_verify),
        TEST(a_handshake_that_is_cut_anywhere_fails_once_and_leaves_nothing),
        TEST(a_handshake_byte_by_byte_is_one),
        TEST(renegotiation_is_refused_and_the_connection_goes_on),
        TEST(a_session_is_resumed_by_its_ticket),
        TEST(a_client_hears_what_is_wrong),
        TEST(a_name_of_nobodys_gets_the_first_where_that_is_wanted),
        TEST(a_clients_certificate_is_asked_for),
        TEST(what_is_no_tls_is_told_apart),
        TEST(http_that_comes_plain_to_a_speaker_of_http_can_be_answered),
        TEST(a_turn_has_room_for_so_many_handshakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
