#include "tls/staple.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdlib.h>
#include <string.h>

#include "base/refs.h"

/* Clocks differ. */
#define SKEW_S 300

/* What the file's response is looked at with. */
struct looking {
    const char *path;
    X509 *leaf;
    STACK_OF(X509) * issuers; /* what follows the leaf in its file; the first issued it */
    OCSP_BASICRESP *basic;
};

static int64_t seconds_of(const ASN1_GENERALIZEDTIME *time)
{
    struct tm tm = { 0 };
    if (!time || !ASN1_TIME_to_tm(time, &tm)) return 0;
    return (int64_t)timegm(&tm);
}

static int parse_chain(struct looking *l, const struct tls_certificate *c, struct err *err)
{
    const unsigned char *at = c->chain, *end = at + c->chain_bytes;
    l->leaf = d2i_X509(NULL, &at, end - at);
    l->issuers = sk_X509_new_null();
    while (l->leaf && l->issuers && at < end) {
        X509 *x = d2i_X509(NULL, &at, end - at);
        if (x && sk_X509_push(l->issuers, x)) continue;
        X509_free(x);
        return err_set(err, "out of memory for %s", l->path);
    }
    return l->leaf && l->issuers ? 0 : err_set(err, "out of memory for %s", l->path);
}

static int parse_response(struct looking *l, const struct small_file *file, struct err *err)
{
    const unsigned char *at = (const unsigned char *)file->text;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)file->len);
    bool is_whole = response && at == (const unsigned char *)file->text + file->len;
    int status = is_whole ? OCSP_response_status(response) : 0;
    if (is_whole && status == OCSP_RESPONSE_STATUS_SUCCESSFUL) l->basic = OCSP_response_get1_basic(response);
    OCSP_RESPONSE_free(response);
    if (!is_whole)
        return err_set(
            err,
            "%s is no OCSP response in DER; openssl ocsp -issuer FILE -cert FILE -url … -respout %s "
            "writes one",
            l->path, l->path);
    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return err_set(err, "the OCSP response in %s says %s", l->path, OCSP_response_status_str(status));
    return l->basic ? 0 : err_set(err, "the OCSP response in %s is of a kind that nobody uses", l->path);
}

/* By its number, and by its issuer's name and key as far as that is known. */
static bool is_for_leaf(const struct looking *l, const OCSP_CERTID *id)
{
    ASN1_OBJECT *algorithm;
    OCSP_id_get0_info(NULL, &algorithm, NULL, NULL, (OCSP_CERTID *)(uintptr_t)id);
    const EVP_MD *digest = EVP_get_digestbyobj(algorithm);
    X509 *issuer = sk_X509_value(l->issuers, 0);
    if (!digest) return false;
    OCSP_CERTID *own = OCSP_cert_to_id(digest, l->leaf, issuer);
    bool is_same = own && OCSP_id_cmp(own, id) == 0;
    OCSP_CERTID_free(own);
    return is_same;
}

static OCSP_SINGLERESP *find_single(const struct looking *l)
{
    for (int i = 0; i < OCSP_resp_count(l->basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(l->basic, i);
        if (is_for_leaf(l, OCSP_SINGLERESP_get0_id(single))) return single;
    }
    return NULL;
}

/* The issuer's own signature, or that of somebody whom it has let speak of this. */
static bool is_signed(const struct looking *l)
{
    X509_STORE *trusted = X509_STORE_new();
    bool is_good = trusted && X509_STORE_add_cert(trusted, sk_X509_value(l->issuers, 0)) == 1 &&
                   X509_STORE_set_flags(trusted, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME) ==
                       1 &&
                   OCSP_basic_verify(l->basic, l->issuers, trusted, 0) == 1;
    X509_STORE_free(trusted);
    return is_good;
}

static int check_single(const struct looking *l, OCSP_SINGLERESP *single, int64_t now_s, int64_t *from,
                        int64_t *until, struct err *err)
{
    ASN1_GENERALIZEDTIME *from_time, *until_time;
    char date[16];
    int status = OCSP_single_get0_status(single, NULL, NULL, &from_time, &until_time);
    int64_t begin_s = seconds_of(from_time);
    *until = seconds_of(until_time);
    if (status != V_OCSP_CERTSTATUS_GOOD)
        return err_set(err, "the OCSP response in %s says that the certificate is %s", l->path,
                       OCSP_cert_status_str(status));
    if (!*until)
        return err_set(err,
                       "the OCSP response in %s does not say until when it holds, so that no client would "
                       "believe it",
                       l->path);
    if (begin_s <= now_s + SKEW_S) return 0;
    *from = begin_s - SKEW_S;
    return err_set(err, "the OCSP response in %s is not valid before %s", l->path,
                   tls_date_print(begin_s, date));
}

static int check(const struct looking *l, int64_t now_s, int64_t *from, int64_t *until, struct err *err)
{
    if (!sk_X509_num(l->issuers))
        return err_set(
            err,
            "whether the OCSP response in %s is for the certificate cannot be told without its issuer; "
            "put that behind the leaf in its file",
            l->path);
    OCSP_SINGLERESP *single = find_single(l);
    if (!single)
        return err_set(err,
                       "the OCSP response in %s is for another certificate; it should be for serial number "
                       "and issuer of this one",
                       l->path);
    if (!is_signed(l))
        return err_set(err,
                       "the OCSP response in %s is not signed by the certificate's issuer, nor by somebody "
                       "who may for it",
                       l->path);
    return check_single(l, single, now_s, from, until, err);
}

static struct tls_staple *keep(const struct small_file *file, int64_t until) /* NULL: there is no memory */
{
    struct tls_staple *s = calloc(1, sizeof(*s));
    if (!s || !(s->der = malloc(file->len))) {
        free(s);
        return NULL;
    }
    atomic_init(&s->refs, 1);
    s->until = until;
    memcpy(s->der, file->text, file->len);
    s->len = (uint32_t)file->len;
    return s;
}

int tls_staple_read(struct tls_staple **out, const char *path, const struct tls_certificate *c, int64_t now_s,
                    struct file_stamp *stamp, int64_t *from, struct err *err)
{
    struct small_file file;
    struct looking l = { .path = path };
    int64_t until = 0;
    *from = 0;
    if (small_file_read(&file, path, stamp, err) < 0) return -1;
    int result = parse_chain(&l, c, err);
    if (result == 0) result = parse_response(&l, &file, err);
    if (result == 0) result = check(&l, now_s, from, &until, err);
    if (result == 0 && !(*out = keep(&file, until))) result = err_set(err, "there is no memory for %s", path);
    ERR_clear_error();
    OCSP_BASICRESP_free(l.basic);
    X509_free(l.leaf);
    sk_X509_pop_free(l.issuers, X509_free);
    small_file_wipe(&file);
    return result;
}

struct tls_staple *tls_staple_get(struct tls_staple *s)
{
    if (s) refs_get(TLS, &s->refs);
    return s;
}

void tls_staple_put(struct tls_staple *s)
{
    if (!s || !refs_put(TLS, &s->refs)) return;
    free(s->der);
    free(s);
}

bool tls_staple_is_same(const struct tls_staple *a, const struct tls_staple *b)
{
    if (!a || !b) return a == b;
    return a->len == b->len && memcmp(a->der, b->der, a->len) == 0;
}

bool tls_staple_show(const struct tls_staple *s, SSL *ssl, int64_t now_s)
{
    if (!s || s->until <= now_s) return false;
    unsigned char *copy = OPENSSL_memdup(s->der, s->len);
    if (copy && SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)s->len) == 1) return true;
    OPENSSL_free(copy);
    return false;
}
