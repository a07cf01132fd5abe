/* tls/server_words.h: why a server's certificate is not accepted, in one clause that says what to do. What is in it is the
 * server's word, and is made fit to be shown. */
#pragma once

#include <openssl/x509.h>

#define SERVER_WORDS_MAX 640u

struct server_words_about {
    const char *address;  /* "10.0.0.3:443" */
    const char *expected; /* the name or the address that it should have */
    const char *ca;       /* the file of the CAs; NULL: the system's */
};

/* Of what was found wrong in `verified`. */
void server_words_certificate(const struct server_words_about *about, X509_STORE_CTX *verified,
                              char out[SERVER_WORDS_MAX]);
