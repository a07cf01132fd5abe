#include "tls/pki.h"

#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[64];

static void insist(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "pki: %s\n", what);
    abort();
}

const char *pki_folder(void)
{
    if (folder[0]) return folder;
    snprintf(folder, sizeof(folder), "/tmp/weir-pki-XXXXXX");
    insist(mkdtemp(folder) != NULL, "no folder");
    return folder;
}

void pki_remove(void)
{
    char command[128];
    if (!folder[0]) return;
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    insist(system(command) == 0, "the folder stays");
    folder[0] = 0;
}

const char *pki_path(const char *file, const char *ending)
{
    static char paths[16][256];
    static unsigned next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof(paths[0]), "%s/%s%s", pki_folder(), file, ending);
    return path;
}

void pki_write(const char *file, const char *ending, const char *text)
{
    FILE *f = fopen(pki_path(file, ending), "w");
    insist(f && fputs(text, f) >= 0 && fclose(f) == 0, "cannot write");
}

char *pki_read(const char *file, const char *ending)
{
    FILE *f = fopen(pki_path(file, ending), "r");
    char *text = calloc(1, 1 << 20);
    insist(f && text && fread(text, 1, (1 << 20) - 1, f) > 0, "cannot read");
    fclose(f);
    return text;
}

static EVP_PKEY *make_key(enum pki_key kind)
{
    switch (kind) {
    case PKI_EC: return EVP_EC_gen("P-256");
    case PKI_RSA: return EVP_RSA_gen(2048);
    case PKI_RSA_WEAK: return EVP_RSA_gen(1024);
    case PKI_ED25519: return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    return NULL;
}

static void extend(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    insist(e && X509_add_ext(x, e, -1), "no extension");
    X509_EXTENSION_free(e);
}

static X509 *issuer_of(const struct pki_wish *wish, EVP_PKEY **key)
{
    if (!wish->issuer) return NULL;
    FILE *f = fopen(pki_path(wish->issuer, ".pem"), "r"), *k = fopen(pki_path(wish->issuer, ".key"), "r");
    insist(f && k, "no issuer");
    X509 *issuer = PEM_read_X509(f, NULL, NULL, NULL);
    *key = PEM_read_PrivateKey(k, NULL, NULL, NULL);
    fclose(f);
    fclose(k);
    insist(issuer && *key, "no issuer's key");
    return issuer;
}

static void describe(X509 *x, const struct pki_wish *wish, X509 *issuer, EVP_PKEY *key)
{
    static long serial = 0x1000;
    X509_NAME *name = X509_get_subject_name(x);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), wish->from_days * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(x), (wish->from_days + wish->days) * 86400L);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               (const unsigned char *)(wish->common_name ? wish->common_name : wish->file),
                               -1, -1, 0);
    X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer) : name);
    X509_set_pubkey(x, key);
    if (wish->is_ca) extend(x, issuer ? issuer : x, NID_basic_constraints, "critical,CA:TRUE");
    if (wish->names) extend(x, issuer ? issuer : x, NID_subject_alt_name, wish->names);
}

void pki_make(const struct pki_wish *wish)
{
    EVP_PKEY *key = make_key(wish->key), *issuer_key = NULL;
    X509 *x = X509_new(), *issuer = issuer_of(wish, &issuer_key);
    insist(key && x, "no key");
    describe(x, wish, issuer, key);
    const EVP_PKEY *signer = issuer ? issuer_key : key;
    const EVP_MD *digest = EVP_PKEY_get_base_id(signer) == EVP_PKEY_ED25519 ? NULL : EVP_sha256();
    insist(X509_sign(x, issuer ? issuer_key : key, digest) > 0, "not signed");
    FILE *f = fopen(pki_path(wish->file, ".pem"), "w"), *k = fopen(pki_path(wish->file, ".key"), "w");
    insist(f && k && PEM_write_X509(f, x) && (!wish->has_issuer || PEM_write_X509(f, issuer)) &&
               PEM_write_PrivateKey(k, key, NULL, NULL, 0, NULL, NULL),
           "not written");
    fclose(f);
    fclose(k);
    X509_free(x);
    X509_free(issuer);
    EVP_PKEY_free(key);
    EVP_PKEY_free(issuer_key);
}
