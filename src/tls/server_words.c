#include "tls/server_words.h"

#include <openssl/x509v3.h>
#include <time.h>

#include "base/address.h"
#include "base/printable.h"
#include "tls/certificate.h"

/* So many of a certificate's names are told. */
#define NAMES_TOLD 4
#define NAME_BYTES_TOLD 100u

static void add_date(struct text *out, const ASN1_TIME *time)
{
    struct tm tm = { 0 };
    char date[16];
    if (time && ASN1_TIME_to_tm(time, &tm))
        text_printf(out, "%s", tls_date_print((int64_t)timegm(&tm), date));
    else
        TEXT_LITERAL(out, "a day that it does not say");
}

static void add_told(struct text *out, const unsigned char *data, int len)
{
    bool is_long = len > (int)NAME_BYTES_TOLD;
    printable_add(out, (struct slice){ (const char *)data, is_long ? NAME_BYTES_TOLD : (size_t)len });
    if (is_long) TEXT_LITERAL(out, "…");
}

/* The last of its common names, or whatever it is called by. */
static void add_subject(struct text *out, const X509_NAME *name)
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    const X509_NAME_ENTRY *entry = X509_NAME_get_entry(name, at >= 0 ? at : X509_NAME_entry_count(name) - 1);
    const ASN1_STRING *text = entry ? X509_NAME_ENTRY_get_data(entry) : NULL;
    text_add_char(out, '"');
    if (text) add_told(out, ASN1_STRING_get0_data(text), ASN1_STRING_length(text));
    text_add_char(out, '"');
}

static void add_ip(struct text *out, const ASN1_OCTET_STRING *bytes)
{
    static const struct ip mapped = { .bytes = { [10] = 0xff, [11] = 0xff } };
    struct ip ip = mapped;
    char printed[INET6_ADDRSTRLEN];
    size_t len = (size_t)ASN1_STRING_length(bytes);
    if (len != 4 && len != 16) return;
    memcpy(ip.bytes + 16 - len, ASN1_STRING_get0_data(bytes), len);
    text_printf(out, "%s", ip_print(&ip, printed));
}

/* "a.example, 10.0.0.1 and 7 more" */
static void add_names(struct text *out, X509 *leaf)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    int count = names ? sk_GENERAL_NAME_num(names) : 0, told = 0, left = 0;
    for (int i = 0; i < count; i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        if (n->type != GEN_DNS && n->type != GEN_IPADD) continue;
        if (told == NAMES_TOLD) {
            left++;
            continue;
        }
        if (told++) TEXT_LITERAL(out, ", ");
        if (n->type == GEN_DNS)
            add_told(out, ASN1_STRING_get0_data(n->d.dNSName), ASN1_STRING_length(n->d.dNSName));
        else
            add_ip(out, n->d.iPAddress);
    }
    if (left) text_printf(out, " and %d more", left);
    if (!told) TEXT_LITERAL(out, "no name at all");
    GENERAL_NAMES_free(names);
}

static void add_whose(struct text *out, const struct server_words_about *about, X509 *at, int depth)
{
    TEXT_LITERAL(out, "the certificate ");
    if (depth > 0) {
        TEXT_LITERAL(out, "of the CA ");
        add_subject(out, X509_get_subject_name(at));
        TEXT_LITERAL(out, " behind that ");
    }
    text_printf(out, "of %s ", about->address);
}

static void add_unknown(struct text *out, const struct server_words_about *about, X509 *at,
                        bool is_self_signed)
{
    if (is_self_signed) {
        TEXT_LITERAL(out, "is signed by itself");
    } else {
        TEXT_LITERAL(out, "was issued by ");
        add_subject(out, X509_get_issuer_name(at));
    }
    if (about->ca)
        text_printf(out, ", which is not in %s", about->ca);
    else
        TEXT_LITERAL(out, ", which is none of the system's CAs; name yours as `tls: {ca: …}`");
}

void server_words_certificate(const struct server_words_about *about, X509_STORE_CTX *verified,
                              char out[SERVER_WORDS_MAX])
{
    struct text t = text_over(out, SERVER_WORDS_MAX);
    X509 *at = X509_STORE_CTX_get_current_cert(verified);
    int error = X509_STORE_CTX_get_error(verified);
    if (!at) at = X509_STORE_CTX_get0_cert(verified);
    add_whose(&t, about, at, X509_STORE_CTX_get_error_depth(verified));
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        TEXT_LITERAL(&t, "expired on ");
        add_date(&t, X509_get0_notAfter(at));
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        TEXT_LITERAL(&t, "is not valid before ");
        add_date(&t, X509_get0_notBefore(at));
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        TEXT_LITERAL(&t, "is for ");
        add_names(&t, at);
        text_printf(&t, ", not for %s; if it is the right one, say so as `tls: {name: …}`", about->expected);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: add_unknown(&t, about, at, true); break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: add_unknown(&t, about, at, false); break;
    default: text_printf(&t, "is not accepted: %s", X509_verify_cert_error_string(error));
    }
    text_cstr(&t);
}
