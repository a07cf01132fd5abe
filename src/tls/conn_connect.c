#define XXH_INLINE_ALL
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/bug.h"
#include "tls/conn_state.h"
#include "tls/server_words.h"

/* These alerts are a server's answer to our handshake, also where it comes when for us that is over already, as TLS 1.3 has it
 * for what is wrong with a certificate of ours: until then a server reads no request (RFC 8446 4.4.2.4, 6.2). */
static bool is_refusal(int alert)
{
    static const uint8_t refusals[] = {
        SSL_AD_HANDSHAKE_FAILURE,   SSL_AD_BAD_CERTIFICATE,     SSL_AD_UNSUPPORTED_CERTIFICATE,
        SSL_AD_CERTIFICATE_REVOKED, SSL_AD_CERTIFICATE_EXPIRED, SSL_AD_CERTIFICATE_UNKNOWN,
        SSL_AD_UNKNOWN_CA,          SSL_AD_ACCESS_DENIED,       SSL_AD_DECRYPT_ERROR,
        SSL_AD_CERTIFICATE_REQUIRED
    };
    return memchr(refusals, alert, sizeof(refusals)) != NULL;
}

/* 0: it was no alert of the server's. */
static int alert_of(unsigned long error)
{
    int reason = ERR_GET_REASON(error);
    bool is_alert = ERR_GET_LIB(error) == ERR_LIB_SSL && reason > SSL_AD_REASON_OFFSET;
    return is_alert ? reason - SSL_AD_REASON_OFFSET : 0;
}

/* OpenSSL 3.0 does not know the name of this one (RFC 8446 6). */
static const char *alert_name(int alert)
{
    return alert == SSL_AD_CERTIFICATE_REQUIRED ? "certificate required" : SSL_alert_desc_string_long(alert);
}

static const char *remedy_for(int alert)
{
    switch (alert) {
    case SSL_AD_CERTIFICATE_REQUIRED: return "; give it one as `tls: {certificate: …}`";
    case SSL_AD_NO_APPLICATION_PROTOCOL: return "; write another `protocol` for its pool";
    default: return "";
    }
}

void tls_connect_note_cut(struct tls_conn *c)
{
    if (c->opening)
        tls_conn_explain(c, END_SERVER_TLS_FAILED, "%s closed the connection in the middle of the handshake",
                         c->opening->address);
    else
        tls_conn_note(c, END_SERVER_TLS_CUT, NULL);
}

void tls_connect_note_broke(struct tls_conn *c)
{
    unsigned long error = ERR_peek_error();
    const char *reason = ERR_reason_error_string(error),
               *from = c->opening ? c->opening->address : "the server";
    int alert = alert_of(error);
    bool is_handshake = c->opening || (!c->has_data && is_refusal(alert));
    enum end_reason fault = is_handshake ? END_SERVER_TLS_FAILED : END_SERVER_TLS_BROKEN;
    if (alert)
        tls_conn_explain(c, fault, "%s ended it with the alert \"%s\"%s", from, alert_name(alert),
                         remedy_for(alert));
    else
        tls_conn_explain(c, fault, "with %s: %s", from, reason ? reason : "OpenSSL gives no reason");
}

void tls_connect_note_plain(struct tls_conn *c, struct slice bytes)
{
    bool is_http = slice_starts_with(bytes, SLICE("HTTP/"));
    tls_conn_explain(c, END_SERVER_NOT_TLS,
                     is_http ? "%s answers in plain HTTP; leave `tls` out, or use its other port"
                             : "what %s says is no TLS",
                     c->opening->address);
}

int tls_conn_on_verified(int is_good, X509_STORE_CTX *verified)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(verified, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_conn *c = SSL_get_app_data(ssl);
    const struct tls_opening *o = c->opening;
    char words[SERVER_WORDS_MAX], expected[INET6_ADDRSTRLEN];
    if (is_good || !o) return is_good;
    struct server_words_about about = { .address = o->address,
                                        .expected = o->has_ip ? ip_print(&o->ip, expected) : o->name,
                                        .ca = tls_upstream_ca(o->upstream) };
    server_words_certificate(&about, verified, words);
    tls_conn_explain(c, END_SERVER_CERTIFICATE, "%s", words);
    return 0;
}

int tls_conn_on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_conn *c = SSL_get_app_data(ssl);
    if (bug_if(TLS, !c || !c->is_upstream)) return 0; /* 0: OpenSSL keeps the reference */
    return tls_sessions_keep(&c->worker->sessions, &c->key, session);
}

/* Who the server has to be; false: out of memory. */
static bool expect(SSL *ssl, const struct tls_opening *o)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    /* A certificate's common name is no name of a host (RFC 9525 6.1), and a wildcard is a whole label (6.3). */
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (!o->has_ip) return X509_VERIFY_PARAM_set1_host(param, o->name, 0) == 1;
    bool is_v4 = ip_is_v4(&o->ip);
    return X509_VERIFY_PARAM_set1_ip(param, o->ip.bytes + (is_v4 ? 12 : 0), is_v4 ? 4 : 16) == 1;
}

static bool set_up(struct tls_conn *c)
{
    struct tls_opening *o = c->opening;
    struct tls_certificate *own = tls_upstream_certificate(o->upstream);
    if (tls_upstream_verifies(o->upstream) && !expect(c->ssl, o)) return false;
    /* Addresses are no names to ask for (RFC 6066 3). */
    if (o->name[0] && SSL_set_tlsext_host_name(c->ssl, o->name) != 1) return false;
    if (c->alpn &&
        SSL_set_alpn_protos(c->ssl, (const unsigned char *)c->alpn, (unsigned)strlen(c->alpn)) != 0)
        return false;
    if (own && tls_certificate_use(own, c->ssl) < 0) return false;
    SSL_SESSION *session = tls_sessions_take(&c->worker->sessions, &c->key);
    if (session) o->has_offered = SSL_set_session(c->ssl, session) == 1;
    SSL_SESSION_free(session);
    SSL_set_connect_state(c->ssl);
    return true;
}

bool tls_connect_prepare(struct tls_conn *c)
{
    const struct tls_opening *o = c->opening;
    if (tls_upstream_verifies(o->upstream) && !o->has_ip && !o->name[0])
        tls_conn_explain(c, END_SERVER_CERTIFICATE,
                         "%s has no name to be verified by; give it as `tls: {name: …}`", o->address);
    else if (!set_up(c))
        tls_conn_note(c, END_NO_MEMORY, NULL);
    ERR_clear_error();
    return !c->t->fault;
}

static void end_opening(struct tls_conn *c)
{
    if (bug_if(TLS, !c->opening)) return;
    tls_upstream_put(c->opening->upstream);
    slab_put(&c->worker->openings, c->opening);
    c->opening = NULL;
    c->t->overdue = END_NONE;
}

void tls_connect_opened(struct tls_conn *c)
{
    c->opening->watch->on_opened(c->opening->watcher, c->t);
    end_opening(c);
}

void tls_connect_failed(struct tls_conn *c)
{
    struct tls_opening *o = c->opening;
    /* One that is offered again and again must not keep a server away that cannot bear it. */
    if (o->has_offered && c->t->fault) tls_sessions_forget(&c->worker->sessions, &c->key);
    if (c->is_connected) o->watch->on_failed(o->watcher, c->t);
    end_opening(c);
}

static struct tls_session_key key_of(const struct tls_worker *w, const struct tls_target *to,
                                     const struct tls_opening *o)
{
    struct {
        uint64_t print;
        struct address address;
        char name[sizeof(o->name)];
    } key;
    memset(&key, 0, sizeof(key)); /* between its parts, too */
    key.print = tls_upstream_print(to->upstream);
    key.address.len = to->address->len;
    memcpy(&key.address.sa, &to->address->sa, to->address->len);
    memcpy(key.name, o->name, sizeof(key.name));
    XXH128_hash_t hash = XXH3_128bits_withSeed(&key, sizeof(key), w->seed);
    return (struct tls_session_key){ hash.low64, hash.high64 };
}

static void fill(struct tls_opening *o, const struct tls_target *to)
{
    size_t len = to->name ? strlen(to->name) : 0;
    o->upstream = tls_upstream_get(to->upstream);
    o->watch = to->watch;
    o->watcher = to->watcher;
    address_print(to->address, o->address);
    o->has_ip = ip_parse((struct slice){ to->name, len }, &o->ip);
    if (!to->name && to->address->sa.any.sa_family != AF_UNIX) {
        o->ip = address_ip(to->address);
        o->has_ip = true;
    }
    if (!o->has_ip && len < sizeof(o->name)) memcpy(o->name, to->name ? to->name : "", len + 1);
}

int tls_conn_connect(struct transport *t, struct tls_worker *w, const struct tls_target *to)
{
    struct tls_conn *c = slab_get(&w->conns);
    struct tls_opening *o = c ? slab_get(&w->openings) : NULL;
    if (!o) {
        if (c) slab_put(&w->conns, c);
        return -1;
    }
    fill(o, to);
    c->opening = o;
    c->key = key_of(w, to, o);
    c->is_upstream = true;
    tls_conn_put_over(c, t, w, to->alpn);
    if (c->is_connected) t->overdue = END_SERVER_TLS_TIMEOUT; /* else once it is */
    return 0;
}

size_t tls_opening_size(void)
{
    return sizeof(struct tls_opening);
}
