/* tls/upstream.h: what connections to the servers of a pool are made of: by which CAs those are verified, under which name,
 * what they are shown. Made with the configuration; counted, immutable. Any thread. */
#pragma once

#include "tls/certificate.h"
#include "tls/upstream_conf.h"

/* *key: the row that is at fault. One reference is the caller's. */
MUST_CHECK int tls_upstream_new(struct tls_upstream **out, const struct tls_upstream_conf *conf,
                                const char **key, struct err *err);
struct tls_upstream *tls_upstream_get(struct tls_upstream *u);
void tls_upstream_put(struct tls_upstream *u); /* NULL is fine */

SSL_CTX *tls_upstream_context(const struct tls_upstream *u);
bool tls_upstream_verifies(const struct tls_upstream *u);
/* The file of the CAs, for people; NULL: the system's. */
const char *tls_upstream_ca(const struct tls_upstream *u);
/* What is expected whatever the server; NULL: each server's own. */
const char *tls_upstream_name(const struct tls_upstream *u);
/* NULL: none. */
struct tls_certificate *tls_upstream_certificate(const struct tls_upstream *u);
/* The same where the same rules, files' contents included, are followed; never 0. Connections that were made by another are
 * not used again. */
uint64_t tls_upstream_print(const struct tls_upstream *u);
