#include "acme/request.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define RSA_BITS 2048u

EVP_PKEY *acme_key_new(enum acme_key_kind kind)
{
    EVP_PKEY *key = kind == ACME_KEY_RSA ? EVP_RSA_gen(RSA_BITS) : EVP_EC_gen("P-256");
    ERR_clear_error();
    return key;
}

char *acme_key_print(EVP_PKEY *key, size_t *len)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    char *text = NULL;
    const char *data = NULL;
    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        *len = (size_t)BIO_get_mem_data(bio, &data);
        text = OPENSSL_malloc(*len + 1);
        if (text) {
            memcpy(text, data, *len);
            text[*len] = 0;
        }
    }
    BIO_free(bio);
    ERR_clear_error();
    return text;
}

/* Nobody is there to be asked. */
static int on_pass_phrase(char *buffer, int size, int is_writing, void *context)
{
    (void)buffer, (void)size, (void)is_writing, (void)context;
    return -1;
}

EVP_PKEY *acme_key_read(struct slice pem)
{
    BIO *bio = pem.len < INT32_MAX ? BIO_new_mem_buf(pem.data, (int)pem.len) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, on_pass_phrase, NULL) : NULL;
    BIO_free(bio);
    ERR_clear_error();
    return key;
}

static bool add_names(X509_REQ *request, const char *const *names, uint32_t count)
{
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    GENERAL_NAMES *all = GENERAL_NAMES_new();
    bool is_good = extensions && all;
    for (uint32_t i = 0; is_good && i < count; i++) {
        GENERAL_NAME *one = GENERAL_NAME_new();
        ASN1_IA5STRING *text = ASN1_IA5STRING_new();
        is_good = one && text && ASN1_STRING_set(text, names[i], -1) == 1;
        if (is_good) GENERAL_NAME_set0_value(one, GEN_DNS, text);
        if (!is_good) ASN1_IA5STRING_free(text);
        is_good = is_good && sk_GENERAL_NAME_push(all, one);
        if (!is_good) GENERAL_NAME_free(one);
    }
    is_good = is_good &&
              X509V3_add1_i2d(&extensions, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT) == 1 &&
              X509_REQ_add_extensions(request, extensions) == 1;
    GENERAL_NAMES_free(all);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return is_good;
}

unsigned char *acme_csr_new(EVP_PKEY *key, const char *const *names, uint32_t count, size_t *len)
{
    unsigned char *der = NULL;
    X509_REQ *request = X509_REQ_new();
    int size = -1;
    /* The subject is left empty: its common name has room for 64 bytes, and nobody looks at it (RFC 9525 2). */
    if (request && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
        X509_REQ_set_pubkey(request, key) == 1 && add_names(request, names, count) &&
        X509_REQ_sign(request, key, EVP_sha256()) > 0)
        size = i2d_X509_REQ(request, &der);
    X509_REQ_free(request);
    ERR_clear_error();
    *len = size > 0 ? (size_t)size : 0;
    return size > 0 ? der : NULL;
}
