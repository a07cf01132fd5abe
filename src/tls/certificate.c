#include "tls/certificate.h"

#include <ctype.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/refs.h"
#include "tls/small_file.h"
#include "tls/staple.h"

#define RSA_BITS_MIN 2048
#define NAMES_MAX 10000u

/* What OpenSSL makes of the DER. Immutable. */
struct tls_credentials {
    X509 *leaf;
    STACK_OF(X509) * chain; /* what issued the leaf */
    EVP_PKEY *key;
    bool is_short; /* OpenSSL lacked memory for a part of it: whatever it found is not to be believed */
};

static void credentials_free(struct tls_credentials *c)
{
    if (!c) return;
    X509_free(c->leaf);
    sk_X509_pop_free(c->chain, X509_free);
    EVP_PKEY_free(c->key);
    free(c);
}

/* OpenSSL's own words for what it found last; it finds nothing to say of most malformed files, and of
 * some that it has no memory for. */
static const char *openssl_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return reason ? reason : "malformed, or there is no memory for it";
}

static bool is_end_of_pem(void)
{
    return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

/* Done with OpenSSL's errors: of those that one that lacks memory looks like is only kept that there was one. */
static void take_errors(struct tls_credentials *c)
{
    for (unsigned long e; (e = ERR_get_error());)
        if (ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE) c->is_short = true;
}

static int read_chain(struct tls_credentials *c, const char *path, struct file_stamp *stamp, struct err *err)
{
    struct small_file file;
    if (small_file_read(&file, path, stamp, err) < 0) return -1;
    BIO *bio = BIO_new_mem_buf(file.text, (int)file.len);
    c->chain = sk_X509_new_null();
    uint32_t count = 0;
    int result = bio && c->chain ? 0 : err_set(err, "out of memory for %s", path);
    ERR_clear_error();
    while (result == 0) {
        X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        if (!x) break;
        if (++count > TLS_CHAIN_MAX)
            result = err_set(err, "%s has more than %u certificates; keep the leaf and what issued it", path,
                             TLS_CHAIN_MAX);
        if (count == 1)
            c->leaf = x;
        else if (!sk_X509_push(c->chain, x)) {
            X509_free(x);
            result = err_set(err, "out of memory for %s", path);
        }
    }
    if (result == 0 && !is_end_of_pem())
        result = err_set(err, "certificate %u of %s cannot be read: %s", count + 1, path, openssl_reason());
    else if (result == 0 && !count)
        result = err_set(err,
                         "%s has no certificate; it should begin with -----BEGIN CERTIFICATE----- and have "
                         "the leaf first, then what issued it",
                         path);
    take_errors(c);
    BIO_free(bio);
    small_file_wipe(&file); /* some keep the key in the same file */
    return result;
}

/* A pass phrase would have to be asked for, or to lie beside the key. */
static int on_pass_phrase(char *buffer, int size, int is_writing, void *is_asked)
{
    (void)buffer, (void)size, (void)is_writing;
    *(bool *)is_asked = true;
    return -1;
}

static int read_key(struct tls_credentials *c, const char *path, struct file_stamp *stamp, struct err *err)
{
    struct small_file file;
    bool is_encrypted = false;
    if (small_file_read(&file, path, stamp, err) < 0) return -1;
    BIO *bio = BIO_new_mem_buf(file.text, (int)file.len);
    ERR_clear_error();
    if (bio) c->key = PEM_read_bio_PrivateKey(bio, NULL, on_pass_phrase, &is_encrypted);
    int result = 0;
    if (is_encrypted)
        result = err_set(
            err,
            "the key in %s is encrypted, and nobody is there to ask for the pass phrase; decrypt "
            "it with: openssl pkey -in %s -out FILE",
            path, path);
    else if (!memmem(file.text, file.len, "PRIVATE KEY-----", 16)) /* of which OpenSSL says "unsupported" */
        result = err_set(err, "%s has no private key; it should begin with -----BEGIN PRIVATE KEY-----",
                         path);
    else if (!c->key)
        result = err_set(err, "the key in %s cannot be read: %s", path, openssl_reason());
    take_errors(c);
    BIO_free(bio);
    small_file_wipe(&file);
    return result;
}

/* checks */

static int find_kind(enum tls_key_kind *kind, const EVP_PKEY *key, const char *path, struct err *err)
{
    switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_RSA: *kind = TLS_KEY_RSA; break;
    case EVP_PKEY_EC: *kind = TLS_KEY_EC; return 0;
    case EVP_PKEY_ED25519: *kind = TLS_KEY_ED25519; return 0;
    default:
        return err_set(err, "the key in %s is of a kind that is not served; use RSA, ECDSA or Ed25519", path);
    }
    if (EVP_PKEY_get_bits(key) >= RSA_BITS_MIN) return 0;
    return err_set(err, "the RSA key in %s has %d bits, which clients refuse; make one of %d or more", path,
                   EVP_PKEY_get_bits(key), RSA_BITS_MIN);
}

static int64_t seconds_of(const ASN1_TIME *time)
{
    struct tm tm = { 0 };
    if (!time || !ASN1_TIME_to_tm(time, &tm)) return 0;
    return (int64_t)timegm(&tm);
}

static void note_dates(struct tls_certificate *c, const X509 *x)
{
    int64_t from = seconds_of(X509_get0_notBefore(x)), until = seconds_of(X509_get0_notAfter(x));
    if (from > c->not_before) c->not_before = from;
    if (until < c->not_after) c->not_after = until;
}

/* OpenSSL keeps a certificate whose key it could not make anything of, and does not say why. */
static int need_key(struct tls_credentials *c, const X509 *x, const char *path, struct err *err)
{
    bool has_key = X509_get0_pubkey(x) != NULL;
    take_errors(c);
    if (has_key) return 0;
    return err_set(err,
                   "the key of a certificate in %s cannot be read: it is of no kind that is known here, or "
                   "there is no memory for it",
                   path);
}

/* For sure: OpenSSL says of two keys that it has no memory to compare what it says of two that differ. */
static bool is_another_key(const X509 *leaf, const EVP_PKEY *key)
{
    unsigned char *of_leaf = NULL, *of_key = NULL;
    int leaf_bytes = i2d_PUBKEY(X509_get0_pubkey(leaf), &of_leaf), key_bytes = i2d_PUBKEY(key, &of_key);
    bool is_another = leaf_bytes > 0 && key_bytes > 0 &&
                      (leaf_bytes != key_bytes || memcmp(of_leaf, of_key, (size_t)leaf_bytes) != 0);
    OPENSSL_free(of_leaf);
    OPENSSL_free(of_key);
    return is_another;
}

static bool is_signed_by(struct tls_credentials *c, X509 *x, const X509 *issuer)
{
    bool is_signed = X509_verify(x, X509_get0_pubkey(issuer)) == 1;
    take_errors(c);
    return is_signed;
}

/* Each was issued by the next: clients build no other order (RFC 5246 7.4.2), and many fail where one is missing. */
static int check_chain(struct tls_certificate *c, struct tls_credentials *from, const char *path,
                       struct err *err)
{
    X509 *before = from->leaf;
    c->not_after = INT64_MAX;
    note_dates(c, before);
    for (int i = 0; i < sk_X509_num(from->chain); i++) {
        X509 *issuer = sk_X509_value(from->chain, i);
        if (X509_check_issued(issuer, before) != X509_V_OK)
            return err_set(err,
                           "certificate %d of %s did not issue the one before it; write the leaf first, then "
                           "what issued it, and so on",
                           i + 2, path);
        if (need_key(from, issuer, path, err) < 0) return -1;
        if (!is_signed_by(from, before, issuer))
            return err_set(err, "certificate %d of %s is not signed by certificate %d: it has another key",
                           i + 1, path, i + 2);
        note_dates(c, issuer);
        before = issuer;
    }
    return 0;
}

static bool is_dns_name(const unsigned char *name, int len)
{
    if (len < 1 || len > 253) return false;
    for (int i = 0; i < len; i++)
        if (!isalnum(name[i]) && name[i] != '-' && name[i] != '.' && name[i] != '_' &&
            !(name[i] == '*' && i == 0 && len > 2 && name[1] == '.'))
            return false;
    return true;
}

static void put_name(struct tls_certificate *c, size_t *used, const unsigned char *name, int len)
{
    for (int i = 0; i < len; i++) c->names[(*used)++] = (char)tolower(name[i]);
    c->names[(*used)++] = 0;
    c->name_count++;
}

/* The names of the extension; clients look at no others (RFC 9525 6.1). */
static int find_names(struct tls_certificate *c, struct tls_credentials *from, const char *path,
                      struct err *err)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(from->leaf, NID_subject_alt_name, NULL, NULL);
    take_errors(from);
    int count = names ? sk_GENERAL_NAME_num(names) : 0;
    size_t room = 1, used = 0;
    int result = 0;
    for (int i = 0; i < count; i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type == GEN_DNS) room += (size_t)ASN1_STRING_length(n->d.dNSName) + 1;
    }
    if ((uint32_t)count > NAMES_MAX)
        result = err_set(err, "the certificate in %s has more than %u names", path, NAMES_MAX);
    else if (!(c->names = malloc(room)))
        result = err_set(err, "out of memory for %s", path);
    for (int i = 0; result == 0 && i < count; i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type != GEN_DNS) continue;
        const unsigned char *name = ASN1_STRING_get0_data(n->d.dNSName);
        int len = ASN1_STRING_length(n->d.dNSName);
        if (is_dns_name(name, len)) put_name(c, &used, name, len);
    }
    GENERAL_NAMES_free(names);
    return result;
}

static void note_serial(struct tls_certificate *c, const X509 *leaf)
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
    const unsigned char *bytes = ASN1_STRING_get0_data(serial);
    int len = ASN1_STRING_length(serial);
    for (int i = 0; i < len && i < 20; i++) {
        c->serial[2 * i] = "0123456789abcdef"[bytes[i] >> 4];
        c->serial[2 * i + 1] = "0123456789abcdef"[bytes[i] & 15];
    }
}

/* DER */

static int keep_chain(struct tls_certificate *c, const struct tls_credentials *from)
{
    int total = i2d_X509(from->leaf, NULL);
    for (int i = 0; i < sk_X509_num(from->chain); i++) total += i2d_X509(sk_X509_value(from->chain, i), NULL);
    unsigned char *at = c->chain = malloc((size_t)total);
    if (!at) return -1;
    c->chain_bytes = (uint32_t)total;
    i2d_X509(from->leaf, &at);
    for (int i = 0; i < sk_X509_num(from->chain); i++) i2d_X509(sk_X509_value(from->chain, i), &at);
    return 0;
}

static int keep_key(struct tls_certificate *c, EVP_PKEY *key)
{
    c->key_bytes = i2d_PrivateKey(key, &c->key);
    return c->key_bytes > 0 ? 0 : -1;
}

/* For people: who issued it. */
static int keep_issuer(struct tls_certificate *c, const X509 *leaf)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const char *text = NULL;
    if (bio && X509_NAME_print_ex(bio, X509_get_issuer_name(leaf), 0, XN_FLAG_RFC2253) >= 0) {
        size_t len = (size_t)BIO_get_mem_data(bio, &text);
        c->issuer = calloc(1, len + 1);
        if (c->issuer && len) memcpy(c->issuer, text, len);
    }
    BIO_free(bio);
    return c->issuer ? 0 : -1;
}

static int check(struct tls_certificate *c, struct tls_credentials *from, const char *cert_path,
                 const char *key_path, struct err *err)
{
    ERR_clear_error(); /* of whoever was here before */
    if (find_kind(&c->kind, from->key, key_path, err) < 0) return -1;
    if (need_key(from, from->leaf, cert_path, err) < 0) return -1;
    bool is_pair = X509_check_private_key(from->leaf, from->key) == 1;
    if (!is_pair && !is_another_key(from->leaf, from->key)) from->is_short = true;
    take_errors(from);
    if (!is_pair)
        return err_set(err,
                       "the key in %s does not belong to the certificate in %s; with the right one, openssl "
                       "pkey -pubout and openssl x509 -noout -pubkey say the same",
                       key_path, cert_path);
    if (check_chain(c, from, cert_path, err) < 0) return -1;
    return find_names(c, from, cert_path, err);
}

/* What is kept of them, once all is well. */
static int keep(struct tls_certificate *c, const struct tls_credentials *from, const char *path,
                struct err *err)
{
    note_serial(c, from->leaf);
    if (keep_chain(c, from) == 0 && keep_key(c, from->key) == 0 && keep_issuer(c, from->leaf) == 0) return 0;
    return err_set(err, "out of memory for %s", path);
}

static int read_all(struct tls_certificate *c, struct tls_credentials *from, const char *cert_path,
                    const char *key_path, struct err *err)
{
    c->key_stamp = file_stamp_take(key_path); /* also where the certificate is at fault */
    if (read_chain(from, cert_path, &c->cert_stamp, err) < 0) return -1;
    if (read_key(from, key_path, &c->key_stamp, err) < 0) return -1;
    if (check(c, from, cert_path, key_path, err) < 0) return -1;
    return keep(c, from, cert_path, err);
}

int tls_certificate_of(struct tls_certificate **out, X509 *leaf, EVP_PKEY *key, struct err *err)
{
    struct tls_credentials from = { .leaf = leaf, .key = key };
    struct tls_certificate *c = calloc(1, sizeof(*c));
    if (!c) return err_set(err, "there is no memory for a certificate");
    atomic_init(&c->refs, 1);
    int result = check(c, &from, "memory", "memory", err);
    if (result == 0) result = keep(c, &from, "memory", err);
    if (from.is_short) result = err_set(err, "there is no memory for a certificate");
    if (result < 0)
        tls_certificate_put(c);
    else
        *out = c;
    return result;
}

int tls_certificate_read(struct tls_certificate **out, const char *cert_path, const char *key_path,
                         struct file_stamp stamps[TLS_CERTIFICATE_FILES], struct err *err)
{
    struct tls_credentials *from = calloc(1, sizeof(*from));
    struct tls_certificate *c = calloc(1, sizeof(*c));
    if (!from || !c) {
        free(from);
        free(c);
        return err_set(err, "there is no memory for %s", cert_path);
    }
    atomic_init(&c->refs, 1);
    int result = read_all(c, from, cert_path, key_path, err);
    if (from->is_short) result = err_set(err, "there is no memory for %s", cert_path);
    credentials_free(from);
    stamps[0] = c->cert_stamp;
    stamps[1] = c->key_stamp;
    if (result < 0)
        tls_certificate_put(c);
    else
        *out = c;
    return result;
}

struct tls_certificate *tls_certificate_get(struct tls_certificate *c)
{
    refs_get(TLS, &c->refs);
    return c;
}

void tls_certificate_put(struct tls_certificate *c)
{
    if (!c || !refs_put(TLS, &c->refs)) return;
    free(c->names);
    free(c->chain);
    free(c->issuer);
    tls_staple_put(c->staple);
    if (c->key) OPENSSL_clear_free(c->key, (size_t)c->key_bytes);
    credentials_free(atomic_load_explicit(&c->credentials, memory_order_acquire));
    free(c);
}

bool tls_certificate_is_same(const struct tls_certificate *a, const struct tls_certificate *b)
{
    return a->chain_bytes == b->chain_bytes && a->key_bytes == b->key_bytes &&
           memcmp(a->chain, b->chain, a->chain_bytes) == 0 &&
           CRYPTO_memcmp(a->key, b->key, (size_t)a->key_bytes) == 0;
}

enum tls_age tls_certificate_age(const struct tls_certificate *c, int64_t now_s)
{
    if (now_s < c->not_before) return TLS_AGE_FUTURE;
    if (now_s >= c->not_after) return TLS_AGE_EXPIRED;
    return c->not_after - now_s <= TLS_EXPIRY_WARNING_S ? TLS_AGE_ENDING : TLS_AGE_GOOD;
}

const char *tls_date_print(int64_t seconds, char out[16])
{
    time_t time = (time_t)seconds;
    struct tm tm = { 0 };
    gmtime_r(&time, &tm);
    strftime(out, 16, "%Y-%m-%d", &tm);
    return out;
}

/* use */

static bool parse_chain(struct tls_credentials *out, const struct tls_certificate *c)
{
    const unsigned char *at = c->chain, *end = at + c->chain_bytes;
    out->leaf = d2i_X509(NULL, &at, end - at);
    out->chain = sk_X509_new_null();
    while (out->leaf && out->chain && at < end) {
        X509 *x = d2i_X509(NULL, &at, end - at);
        if (!x || !sk_X509_push(out->chain, x)) {
            X509_free(x);
            return false;
        }
    }
    return out->leaf && out->chain;
}

static struct tls_credentials *parse(const struct tls_certificate *c)
{
    struct tls_credentials *out = calloc(1, sizeof(*out));
    if (!out) return NULL;
    const unsigned char *key = c->key;
    if (parse_chain(out, c)) out->key = d2i_AutoPrivateKey(NULL, &key, c->key_bytes);
    if (out->key) return out;
    credentials_free(out);
    return NULL;
}

static struct tls_credentials *credentials_of(struct tls_certificate *c)
{
    struct tls_credentials *known = atomic_load_explicit(&c->credentials, memory_order_acquire);
    if (known) return known;
    struct tls_credentials *made = parse(c);
    if (!made) return NULL;
    if (atomic_compare_exchange_strong_explicit(&c->credentials, &known, made, memory_order_acq_rel,
                                                memory_order_acquire))
        return made;
    credentials_free(made); /* another thread was first */
    return known;
}

int tls_certificate_use(struct tls_certificate *c, SSL *ssl)
{
    const struct tls_credentials *use = credentials_of(c);
    return use && SSL_use_cert_and_key(ssl, use->leaf, use->key, use->chain, 1) == 1 ? 0 : -1;
}

bool tls_certificate_is_chosen(struct tls_certificate *c, const SSL *ssl)
{
    const struct tls_credentials *use = atomic_load_explicit(&c->credentials, memory_order_acquire);
    return use && SSL_get_certificate(ssl) == use->leaf;
}
