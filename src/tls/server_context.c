#include "tls/server_context.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "tls/challenges.h"
#include "tls/conn.h"
#include "tls/profile.h"
#include "tls/staple.h"
#include "tls/tickets.h"

/* Of a client's chain. */
#define DEPTH_MAX 8

static struct tls_conn *conn_of(SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

/* Of an extension with one name (RFC 6066 3); empty: it has none. */
static struct slice name_in(const unsigned char *data, size_t len)
{
    bool is_name = len > 5 && data[2] == TLSEXT_NAMETYPE_host_name &&
                   ((size_t)data[3] << 8 | data[4]) == len - 5;
    return is_name ? (struct slice){ (const char *)data + 5, len - 5 } : SLICE_NONE;
}

/* It speaks acme-tls/1 and nothing else (RFC 8737 3). */
static bool is_for_proof(SSL *ssl)
{
    static const char alone[] = "\x00\x0b\x0a" TLS_CHALLENGE_ALPN;
    const unsigned char *data;
    size_t len;
    return SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data, &len) ==
               1 &&
           len == sizeof(alone) - 1 && memcmp(data, alone, len) == 0;
}

/* The first that is asked. What a CA looks for is shown whatever clients are asked for here, and only while it looks. */
static int on_client_hello(SSL *ssl, int *alert, void *context)
{
    (void)alert, (void)context;
    struct tls_conn *c = conn_of(ssl);
    struct tls_challenges *challenges = tls_conn_worker(c)->challenges;
    const unsigned char *data;
    size_t len;
    if (!tls_challenges_are_any(challenges) || !is_for_proof(ssl)) return SSL_CLIENT_HELLO_SUCCESS;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &len) != 1)
        return SSL_CLIENT_HELLO_SUCCESS;
    struct tls_store *store = tls_challenges_find_name(challenges, name_in(data, len));
    if (!store) return SSL_CLIENT_HELLO_SUCCESS;
    tls_conn_prove(c, store);
    SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    SSL_set_options(ssl, SSL_OP_NO_TICKET);
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* Also where the client names none. */
static int on_server_name(SSL *ssl, int *alert, void *context)
{
    (void)context;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    struct tls_conn *c = conn_of(ssl);
    const struct tls_store *store = tls_conn_store(c);
    const struct tls_choice *choice = tls_store_find(store, slice_of(name));
    if (!choice && tls_store_serves_unknown(store)) choice = tls_store_find(store, SLICE_NONE);
    tls_conn_choose(c, choice);
    if (choice) return SSL_TLSEXT_ERR_OK;
    *alert = SSL_AD_UNRECOGNIZED_NAME; /* RFC 6066 3 */
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Which of them is shown is OpenSSL's choice, by what the client can verify. */
static int on_certificate(SSL *ssl, void *context)
{
    (void)context;
    const struct tls_choice *choice = tls_conn_choice(conn_of(ssl));
    bool has_any = false;
    for (unsigned i = 0; choice && i < TLS_KEY_KINDS; i++)
        if (choice->by_kind[i] && tls_certificate_use(choice->by_kind[i], ssl) == 0) has_any = true;
    return has_any;
}

/* The client asks what the issuer says of the certificate, which is chosen by now. */
static int on_status(SSL *ssl, void *context)
{
    (void)context;
    const struct tls_conn *conn = conn_of(ssl);
    const struct tls_choice *choice = tls_conn_choice(conn);
    int64_t now_s = (int64_t)(loop_wall_ns(tls_conn_worker(conn)->loop) / NS_PER_S);
    for (unsigned i = 0; choice && i < TLS_KEY_KINDS; i++) {
        struct tls_certificate *c = choice->by_kind[i];
        if (c && c->staple && tls_certificate_is_chosen(c, ssl))
            return tls_staple_show(c->staple, ssl, now_s) ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *offered,
                   unsigned int offered_len, void *context)
{
    (void)context;
    const char *wanted = tls_conn_is_proof(conn_of(ssl)) ? "\x0a" TLS_CHALLENGE_ALPN
                                                         : tls_conn_wanted_alpn(conn_of(ssl));
    unsigned char *chosen;
    if (!wanted) return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, out_len, (const unsigned char *)wanted, (unsigned)strlen(wanted),
                              offered, offered_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL; /* RFC 7301 3.2 */
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int is_sealing)
{
    const struct tls_conn *c = conn_of(ssl);
    const struct tls_worker *w = tls_conn_worker(c);
    struct tls_tickets *own = tls_store_tickets(tls_conn_store(c));
    struct tls_tickets *tickets = own ? own : w->tickets;
    int64_t now_s = (int64_t)(loop_wall_ns(w->loop) / NS_PER_S);
    return is_sealing ? tls_tickets_seal(tickets, now_s, name, iv, cipher, mac)
                      : tls_tickets_open(tickets, now_s, name, iv, cipher, mac);
}

static bool add_ca(SSL_CTX *ctx, X509 *x)
{
    return X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), x) == 1 && SSL_CTX_add_client_CA(ctx, x) == 1;
}

/* How many CAs the file has; 0 where not all of it can be read. */
static uint32_t read_cas(SSL_CTX *ctx, const struct small_file *file)
{
    uint32_t count = 0;
    BIO *bio = BIO_new_mem_buf(file->text, (int)file->len);
    X509 *x;
    bool is_good = bio != NULL;
    ERR_clear_error();
    while (is_good && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        is_good = add_ca(ctx, x);
        count++;
        X509_free(x);
    }
    is_good = is_good && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    BIO_free(bio);
    return is_good ? count : 0;
}

static int ask_clients(SSL_CTX *ctx, const struct tls_client_conf *conf, const struct small_file *ca,
                       struct err *err)
{
    if (!read_cas(ctx, ca))
        return err_set(err,
                       "%s has no certificates that could be read; it should have those of the CAs whose "
                       "clients may come, as PEM",
                       conf->ca);
    SSL_CTX_set_verify_depth(ctx, DEPTH_MAX);
    SSL_CTX_set_verify(ctx,
                       conf->certificate == TLS_CLIENT_REQUIRE
                           ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                           : SSL_VERIFY_PEER,
                       NULL);
    return 0;
}

/* Whoever was let in by other CAs, or by none, is not let in here by the ticket that he got there: nor by one from when other
 * CAs were in the file. */
static bool set_session_scope(SSL_CTX *ctx, const struct tls_conf *conf, const struct small_file *ca)
{
    unsigned char scope[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    const unsigned char rule = conf->client ? (unsigned char)(conf->client->certificate + 1) : 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool is_set = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
                  EVP_DigestUpdate(digest, &rule, 1) == 1 &&
                  EVP_DigestUpdate(digest, ca->text, ca->len) == 1 &&
                  EVP_DigestFinal_ex(digest, scope, &len) == 1 &&
                  SSL_CTX_set_session_id_context(ctx, scope, 32) == 1;
    EVP_MD_CTX_free(digest);
    return is_set;
}

static bool set_rules(SSL_CTX *ctx, const struct tls_conf *conf, const struct small_file *ca)
{
    SSL_CTX_set_options(ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, TLS_TICKET_LIFE_S);
    return tls_profile_set(ctx, (enum tls_profile)conf->profile) && SSL_CTX_set_num_tickets(ctx, 1) &&
           set_session_scope(ctx, conf, ca);
}

int tls_server_context_new(SSL_CTX **out, const struct tls_conf *conf, const struct small_file *ca,
                           const char **key, struct err *err)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (!ctx || !set_rules(ctx, conf, ca)) {
        SSL_CTX_free(ctx);
        return err_set(err, "OpenSSL makes no context: %s", ERR_reason_error_string(ERR_peek_last_error()));
    }
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
    SSL_CTX_set_tlsext_status_cb(ctx, on_status);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key);
    if (conf->client && ask_clients(ctx, conf->client, ca, err) < 0) {
        *key = "client";
        SSL_CTX_free(ctx);
        return -1;
    }
    *out = ctx;
    return 0;
}
