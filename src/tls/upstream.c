#include "tls/upstream.h"

#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "base/refs.h"
#include "tls/conn.h"
#include "tls/trust.h"

/* Of a server's chain. */
#define DEPTH_MAX 8

struct tls_upstream {
    _Atomic uint32_t refs;
    SSL_CTX *context;
    struct tls_trust *trust;             /* NULL: nothing is verified */
    struct tls_certificate *certificate; /* NULL: none */
    char *ca, *name;
    uint64_t print;
};

static int set_rules(struct tls_upstream *u, const struct tls_upstream_conf *conf, struct err *err)
{
    u->context = SSL_CTX_new(TLS_client_method());
    if (!u->context || !tls_profile_set(u->context, (enum tls_profile)conf->profile))
        return err_set(err, "OpenSSL makes no context: %s", ERR_reason_error_string(ERR_peek_last_error()));
    /* Sessions are kept by the worker (tls/sessions.h). */
    SSL_CTX_set_session_cache_mode(u->context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(u->context, tls_conn_on_session);
    SSL_CTX_set_verify_depth(u->context, DEPTH_MAX);
    if (!u->trust) return 0;
    SSL_CTX_set1_cert_store(u->context, tls_trust_store(u->trust));
    SSL_CTX_set_verify(u->context, SSL_VERIFY_PEER, tls_conn_on_verified);
    return 0;
}

static void add_to(EVP_MD_CTX *md, const void *data, size_t len)
{
    uint64_t bytes = len;
    EVP_DigestUpdate(md, &bytes, sizeof(bytes)); /* so that two fields are not taken for one */
    EVP_DigestUpdate(md, data, len);
}

static int take_print(struct tls_upstream *u, const struct tls_upstream_conf *conf, struct err *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    const struct tls_certificate *c = u->certificate;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool is_begun = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
    if (is_begun) {
        add_to(md, &conf->profile, sizeof(conf->profile));
        add_to(md, u->trust ? tls_trust_digest(u->trust) : digest, u->trust ? TLS_TRUST_DIGEST_BYTES : 0);
        add_to(md, u->name ? u->name : "", u->name ? strlen(u->name) : 0);
        add_to(md, c ? c->chain : digest, c ? c->chain_bytes : 0);
    }
    bool is_done = is_begun && EVP_DigestFinal_ex(md, digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    if (!is_done) return err_set(err, "out of memory for TLS");
    memcpy(&u->print, digest, sizeof(u->print));
    u->print |= 1;
    return 0;
}

static int read_certificate(struct tls_upstream *u, const struct tls_certificate_conf *conf, struct err *err)
{
    struct file_stamp stamps[TLS_CERTIFICATE_FILES];
    return tls_certificate_read(&u->certificate, conf->cert, conf->key, stamps, err);
}

static int fill(struct tls_upstream *u, const struct tls_upstream_conf *conf, const char **key,
                struct err *err)
{
    *key = "certificate";
    if (conf->certificate && read_certificate(u, conf->certificate, err) < 0) return -1;
    *key = "ca";
    if (conf->verify == TLS_VERIFY_ON && tls_trust_read(&u->trust, conf->ca, err) < 0) return -1;
    *key = NULL;
    if ((conf->ca && !(u->ca = strdup(conf->ca))) || (conf->name && !(u->name = strdup(conf->name))))
        return err_set(err, "there is no memory for its TLS");
    if (set_rules(u, conf, err) < 0) return -1;
    return take_print(u, conf, err);
}

int tls_upstream_new(struct tls_upstream **out, const struct tls_upstream_conf *conf, const char **key,
                     struct err *err)
{
    struct tls_upstream *u = calloc(1, sizeof(*u));
    *key = NULL;
    if (!u) return err_set(err, "there is no memory for its TLS");
    atomic_init(&u->refs, 1);
    if (fill(u, conf, key, err) == 0) {
        *out = u;
        return 0;
    }
    ERR_clear_error();
    tls_upstream_put(u);
    return -1;
}

struct tls_upstream *tls_upstream_get(struct tls_upstream *u)
{
    refs_get(TLS, &u->refs);
    return u;
}

void tls_upstream_put(struct tls_upstream *u)
{
    if (!u || !refs_put(TLS, &u->refs)) return;
    SSL_CTX_free(u->context);
    tls_trust_put(u->trust);
    tls_certificate_put(u->certificate);
    free(u->ca);
    free(u->name);
    free(u);
}

SSL_CTX *tls_upstream_context(const struct tls_upstream *u)
{
    return u->context;
}

bool tls_upstream_verifies(const struct tls_upstream *u)
{
    return u->trust != NULL;
}

const char *tls_upstream_ca(const struct tls_upstream *u)
{
    return u->ca;
}

const char *tls_upstream_name(const struct tls_upstream *u)
{
    return u->name;
}

struct tls_certificate *tls_upstream_certificate(const struct tls_upstream *u)
{
    return u->certificate;
}

uint64_t tls_upstream_print(const struct tls_upstream *u)
{
    return u->print;
}
