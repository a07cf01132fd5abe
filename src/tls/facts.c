#include "tls/facts.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/text.h"

#define SUBJECT_MAX 2048u
#define FINGERPRINT_CHARS 64u
#define SERVER_NAME_MAX 255u

static const struct {
    uint16_t id;
    const char *name;
} ciphers[] = {
    { 0x1301, "TLS_AES_128_GCM_SHA256" },        { 0x1302, "TLS_AES_256_GCM_SHA384" },
    { 0x1303, "TLS_CHACHA20_POLY1305_SHA256" },  { 0xc02b, "ECDHE-ECDSA-AES128-GCM-SHA256" },
    { 0xc02c, "ECDHE-ECDSA-AES256-GCM-SHA384" }, { 0xc02f, "ECDHE-RSA-AES128-GCM-SHA256" },
    { 0xc030, "ECDHE-RSA-AES256-GCM-SHA384" },   { 0xcca8, "ECDHE-RSA-CHACHA20-POLY1305" },
    { 0xcca9, "ECDHE-ECDSA-CHACHA20-POLY1305" },
};

const char *tls_cipher_text(uint16_t cipher)
{
    for (size_t i = 0; i < sizeof(ciphers) / sizeof(*ciphers); i++)
        if (ciphers[i].id == cipher) return ciphers[i].name;
    return NULL;
}

/* What could end a header field, or be taken for the next name, is written as in a URI. */
static void add_clean(struct text *t, const unsigned char *data, int len)
{
    for (int i = 0; i < len; i++) {
        unsigned char c = data[i];
        if (c > ' ' && c < 0x7f && c != ',' && c != '%' && c != '"' && c != '\\')
            text_add_char(t, (char)c);
        else
            text_printf(t, "%%%02X", c);
    }
}

static void add_name(struct text *t, const GENERAL_NAME *n)
{
    static const struct {
        int type;
        const char *prefix;
    } kinds[] = { { GEN_DNS, "DNS:" }, { GEN_EMAIL, "email:" }, { GEN_URI, "URI:" } };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        if (n->type != kinds[i].type) continue;
        if (t->len) TEXT_LITERAL(t, ", ");
        text_add_slice(t, slice_of(kinds[i].prefix));
        add_clean(t, ASN1_STRING_get0_data(n->d.ia5), ASN1_STRING_length(n->d.ia5));
    }
}

static void add_names(struct text *t, const X509 *x)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; names && i < sk_GENERAL_NAME_num(names); i++)
        add_name(t, sk_GENERAL_NAME_value(names, i));
    GENERAL_NAMES_free(names);
    if (t->is_cut) t->len = 0;
}

/* RFC 2253 as OpenSSL and nginx write it: whatever is no printable ASCII is escaped. */
static void add_subject(struct text *t, const X509 *x)
{
    BIO *bio = BIO_new(BIO_s_mem());
    const char *text = NULL;
    bool is_printed = bio && X509_NAME_print_ex(bio, X509_get_subject_name(x), 0, XN_FLAG_RFC2253) >= 0;
    long len = is_printed ? BIO_get_mem_data(bio, &text) : 0;
    for (long i = 0; i < len; i++) text_add_char(t, text[i] >= ' ' && text[i] < 0x7f ? text[i] : '?');
    BIO_free(bio);
}

static void add_fingerprint(struct text *t, const X509 *x)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (X509_digest(x, EVP_sha256(), digest, &len) != 1) return;
    for (unsigned i = 0; i < len; i++) text_printf(t, "%02x", digest[i]);
}

struct told {
    char subject[SUBJECT_MAX], names[TLS_FACTS_NAMES_MAX], fingerprint[FINGERPRINT_CHARS];
    struct text subject_text, names_text, fingerprint_text;
};

static void tell_peer(struct told *told, const X509 *peer)
{
    told->subject_text = text_over(told->subject, sizeof(told->subject));
    told->names_text = text_over(told->names, sizeof(told->names));
    told->fingerprint_text = text_over(told->fingerprint, sizeof(told->fingerprint));
    if (!peer) return;
    add_subject(&told->subject_text, peer);
    add_names(&told->names_text, peer);
    add_fingerprint(&told->fingerprint_text, peer);
    ERR_clear_error();
}

struct tls_facts *tls_facts_new(SSL *ssl)
{
    struct told told;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    int version = SSL_version(ssl);
    bool is_verified = SSL_get_verify_result(ssl) == X509_V_OK;
    tell_peer(&told, is_verified ? SSL_get0_peer_certificate(ssl) : NULL);
    struct slice asked = slice_of(name);
    if (asked.len > SERVER_NAME_MAX) asked.len = SERVER_NAME_MAX;
    size_t room = asked.len + told.subject_text.len + told.names_text.len + told.fingerprint_text.len;
    struct tls_facts *f = malloc(sizeof(*f) + room);
    if (!f) return NULL;
    struct text t = text_over((char *)(f + 1), room);
    *f = (struct tls_facts){
        .refs = 1,
        .is_resumed = SSL_session_reused(ssl),
        .version = version > TLS1_VERSION && version <= TLS1_3_VERSION ? (uint8_t)(version - TLS1_VERSION)
                                                                       : 0,
        .cipher = cipher ? SSL_CIPHER_get_protocol_id(cipher) : 0,
        .version_name = SSL_get_version(ssl),
        .cipher_name = SSL_CIPHER_get_name(cipher),
    };
    f->name = text_put(&t, asked);
    f->subject = text_put(&t, text_slice(&told.subject_text));
    f->names = text_put(&t, text_slice(&told.names_text));
    f->fingerprint = text_put(&t, text_slice(&told.fingerprint_text));
    return f;
}

struct tls_facts *tls_facts_get(struct tls_facts *f)
{
    if (f) f->refs++;
    return f;
}

void tls_facts_put(struct tls_facts *f)
{
    if (!f || bug_if(TLS, !f->refs)) return; /* leaked rather than freed under somebody */
    if (--f->refs == 0) free(f);
}
