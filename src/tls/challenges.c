#include "tls/challenges.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls/store.h"

/* id-pe-acmeIdentifier (RFC 8737 3) */
#define ACME_IDENTIFIER "1.3.6.1.5.5.7.1.31"
#define DAY_S (24 * 3600)

struct shown {
    char *name, *token, *authorization;
    struct tls_store *store; /* of acme-tls/1; NULL: it is of HTTP */
};

struct tls_challenges {
    pthread_mutex_t lock;
    _Atomic uint32_t count;
    struct shown *all;
};

/* the certificate */

static bool add_extension(X509 *x, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool is_added = extension && X509_add_ext(x, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return is_added;
}

/* Critical; its value is an octet string with the digest of the authorization (RFC 8737 3). */
static bool add_identifier(X509 *x, const char *authorization)
{
    unsigned char der[2 + SHA256_DIGEST_LENGTH] = { V_ASN1_OCTET_STRING, SHA256_DIGEST_LENGTH };
    SHA256((const unsigned char *)authorization, strlen(authorization), der + 2);
    ASN1_OBJECT *id = OBJ_txt2obj(ACME_IDENTIFIER, 1);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension = NULL;
    if (id && value && ASN1_OCTET_STRING_set(value, der, sizeof(der)) == 1)
        extension = X509_EXTENSION_create_by_OBJ(NULL, id, 1, value);
    bool is_added = extension && X509_add_ext(x, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(id);
    return is_added;
}

static X509 *make_certificate(EVP_PKEY *key, const char *name, const char *authorization)
{
    char names[300];
    X509 *x = X509_new();
    snprintf(names, sizeof(names), "DNS:%s", name);
    if (x && X509_set_version(x, X509_VERSION_3) == 1 && ASN1_INTEGER_set(X509_get_serialNumber(x), 1) == 1 &&
        X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S) && X509_gmtime_adj(X509_getm_notAfter(x), DAY_S) &&
        X509_set_pubkey(x, key) == 1 && add_extension(x, NID_subject_alt_name, names) &&
        add_identifier(x, authorization) && X509_sign(x, key, EVP_sha256()) > 0)
        return x;
    X509_free(x);
    return NULL;
}

/* NULL: out of memory. */
static struct tls_store *make_store(const char *name, const char *authorization)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = key ? make_certificate(key, name, authorization) : NULL;
    struct tls_certificate *c = NULL;
    struct err err;
    if (x && tls_certificate_of(&c, x, key, &err) < 0) c = NULL;
    X509_free(x);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return c ? tls_store_of(c) : NULL;
}

/* the table */

struct tls_challenges *tls_challenges_new(void)
{
    struct tls_challenges *c = calloc(1, sizeof(*c));
    if (!c) return NULL;
    pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void free_all(struct shown *all, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(all[i].name);
        free(all[i].token);
        free(all[i].authorization);
        tls_store_put(all[i].store);
    }
    free(all);
}

void tls_challenges_free(struct tls_challenges *c)
{
    if (!c) return;
    free_all(c->all, atomic_load(&c->count));
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* False: out of memory; what is there of it is to be freed all the same. Of a name that no certificate can have nothing is shown. */
static bool make(struct shown *s, const struct tls_challenge *from)
{
    *s = (struct shown){ strdup(from->name), strdup(from->token), strdup(from->authorization), NULL };
    if (from->is_tls) s->store = make_store(from->name, from->authorization);
    return s->name && s->token && s->authorization;
}

bool tls_challenges_set(struct tls_challenges *c, const struct tls_challenge *all, uint32_t count)
{
    struct shown *made = count ? calloc(count, sizeof(*made)) : NULL;
    uint32_t made_count = 0;
    bool has_all = made || !count;
    for (uint32_t i = 0; has_all && i < count; i++)
        if (strlen(all[i].authorization) < TLS_AUTHORIZATION_ROOM)
            has_all = make(&made[made_count++], &all[i]);
    if (!has_all) {
        free_all(made, made_count);
        return false;
    }
    pthread_mutex_lock(&c->lock);
    struct shown *before = c->all;
    uint32_t count_before = atomic_load(&c->count);
    c->all = made;
    atomic_store(&c->count, made_count);
    pthread_mutex_unlock(&c->lock);
    free_all(before, count_before);
    return true;
}

bool tls_challenges_are_any(const struct tls_challenges *c)
{
    return c && atomic_load_explicit(&c->count, memory_order_relaxed) != 0;
}

bool tls_challenges_find_token(struct tls_challenges *c, struct slice token, char out[TLS_AUTHORIZATION_ROOM])
{
    bool is_found = false;
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < atomic_load(&c->count) && !is_found; i++) {
        const struct shown *s = &c->all[i];
        is_found = !s->store && slice_equal(slice_of(s->token), token);
        if (is_found) memcpy(out, s->authorization, strlen(s->authorization) + 1);
    }
    pthread_mutex_unlock(&c->lock);
    return is_found;
}

struct tls_store *tls_challenges_find_name(struct tls_challenges *c, struct slice name)
{
    struct tls_store *store = NULL;
    pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < atomic_load(&c->count) && !store; i++) {
        const struct shown *s = &c->all[i];
        if (s->store && slice_equal_fold(slice_of(s->name), name)) store = tls_store_get(s->store);
    }
    pthread_mutex_unlock(&c->lock);
    return store;
}
