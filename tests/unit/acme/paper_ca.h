/* A CA in place of libcurl's way to one, for the one file of a program that includes this: it issues what is asked for, or refuses,
 * as the test says. */
#pragma once

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "acme/document.h"
#include "acme/fetch.h"
#include "acme/request.h"
#include "base/base64.h"

/* The test's clock: seconds since 1970. */
int64_t wall_s(void);

static struct {
    bool is_library_missing, wants_proofs;
    bool is_told; /* that it may look for them: it finds them */
    int refusal;  /* the status that orders are answered with; 0: they are taken */
    uint64_t retry_after_s;
    int early_s; /* its clock is ahead */
    unsigned orders;
    char directory[100]; /* which was asked for last */
    char names[4][64], pem[8192];
    unsigned name_count;
    EVP_PKEY *key;
    unsigned serial;
} ca;

static char body[4096];

int acme_fetcher_new(struct acme_fetcher **out, const char *file, struct err *err)
{
    (void)file;
    *out = ca.is_library_missing ? NULL : (struct acme_fetcher *)&ca;
    return *out ? 0 : err_set(err, "it is not installed");
}

void acme_fetcher_free(struct acme_fetcher *f)
{
    (void)f;
}

void acme_fetcher_stop(struct acme_fetcher *f)
{
    (void)f;
}

static char *read_payload(const struct acme_request *rq, size_t *len)
{
    static char payload[4096];
    struct acme_document d;
    assert_true(acme_document_read(&d, (struct slice){ rq->body, rq->len }));
    assert_true(
        base64url_decode(slice_of(acme_document_text(d.root, "payload")), payload, sizeof(payload) - 1, len));
    payload[*len] = 0;
    acme_document_close(&d);
    return payload;
}

static void read_names(const struct acme_request *rq)
{
    struct acme_document d;
    size_t len;
    const char *payload = read_payload(rq, &len);
    assert_true(acme_document_read(&d, (struct slice){ payload, len }));
    ca.name_count = 0;
    for (const struct conf_node *n = acme_document_list(d.root, "identifiers"); n; n = n->next)
        snprintf(ca.names[ca.name_count++], sizeof(ca.names[0]), "%s", acme_document_text(n, "value"));
    acme_document_close(&d);
}

static void issue(const struct acme_request *rq)
{
    struct acme_document d;
    char der[2048], list[400] = "";
    size_t len;
    const char *payload = read_payload(rq, &len);
    assert_true(acme_document_read(&d, (struct slice){ payload, len }));
    assert_true(base64url_decode(slice_of(acme_document_text(d.root, "csr")), der, sizeof(der), &len));
    acme_document_close(&d);
    const unsigned char *at = (const unsigned char *)der;
    X509_REQ *request = d2i_X509_REQ(NULL, &at, (long)len);
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++ca.serial);
    ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(wall_s() + ca.early_s));
    ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(wall_s() + ca.early_s + 90 * 86400));
    X509_set_pubkey(x, X509_REQ_get0_pubkey(request));
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(x), "CN", MBSTRING_ASC, (const unsigned char *)"ca", -1,
                               -1, 0);
    for (unsigned i = 0; i < ca.name_count; i++) {
        len = strlen(list);
        snprintf(list + len, sizeof(list) - len, "%sDNS:%s", i ? "," : "", ca.names[i]);
    }
    X509_EXTENSION *names = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, list);
    X509_add_ext(x, names, -1);
    assert_true(X509_sign(x, ca.key, EVP_sha256()) > 0);
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, x);
    ca.pem[BIO_read(bio, ca.pem, sizeof(ca.pem) - 1)] = 0;
    BIO_free(bio);
    X509_EXTENSION_free(names);
    X509_free(x);
    X509_REQ_free(request);
}

static void print_order(const char *status)
{
    int len = snprintf(body, sizeof(body),
                       "{\"status\":\"%s\",\"finalize\":\"https://ca.example/finalize\","
                       "\"certificate\":\"https://ca.example/cert\",\"authorizations\":[",
                       status);
    for (unsigned i = 0; i < ca.name_count; i++)
        len += snprintf(body + len, sizeof(body) - (size_t)len, "%s\"https://ca.example/authz/%u\"",
                        i ? "," : "", i);
    snprintf(body + len, sizeof(body) - (size_t)len, "]}");
}

static void print_authorization(unsigned n)
{
    snprintf(body, sizeof(body),
             "{\"status\":\"%s\",\"identifier\":{\"type\":\"dns\",\"value\":\"%s\"},\"challenges\":["
             "{\"type\":\"http-01\",\"url\":\"https://ca.example/c\",\"token\":\"token\"}]}",
             ca.wants_proofs && !ca.is_told ? "pending" : "valid", ca.names[n]);
}

static void take_order(const struct acme_request *rq, struct acme_response *out)
{
    ca.orders++;
    ca.is_told = false;
    out->location = "https://ca.example/order";
    if (!ca.refusal) {
        read_names(rq);
        print_order("ready");
        return;
    }
    out->status = ca.refusal;
    out->content_type = "application/problem+json";
    out->retry_after_s = ca.retry_after_s;
    snprintf(body, sizeof(body), "{\"detail\":\"not today\"}");
}

int acme_fetch(struct acme_fetcher *f, const struct acme_request *rq, struct acme_response *out,
               struct err *err)
{
    (void)f, (void)err;
    const char *what = strchr(rq->url + 8, '/');
    *out = (struct acme_response){ .status = 200, .content_type = "application/json", .nonce = "nonce" };
    *body = 0;
    if (strcmp(what, "/dir") == 0) {
        snprintf(ca.directory, sizeof(ca.directory), "%s", rq->url);
        snprintf(body, sizeof(body),
                 "{\"newNonce\":\"https://ca.example/nonce\",\"newAccount\":"
                 "\"https://ca.example/account\",\"newOrder\":\"https://ca.example/new\"}");
    } else if (strcmp(what, "/account") == 0) {
        out->location = "https://ca.example/account/1";
        snprintf(body, sizeof(body), "{}");
    } else if (strcmp(what, "/new") == 0) {
        take_order(rq, out);
    } else if (strncmp(what, "/authz/", 7) == 0) {
        print_authorization((unsigned)strtoul(what + 7, NULL, 10));
    } else if (strcmp(what, "/c") == 0) {
        ca.is_told = true;
        snprintf(body, sizeof(body), "{}");
    } else if (strcmp(what, "/order") == 0) {
        print_order("ready");
    } else if (strcmp(what, "/finalize") == 0) {
        issue(rq);
        print_order("valid");
    } else if (strcmp(what, "/cert") == 0) {
        out->content_type = "application/pem-certificate-chain";
        out->body = slice_of(ca.pem);
        return 0;
    }
    out->body = slice_of(body);
    return 0;
}
