/* tls/tls_conf.h: `tls:` of a listener, as decoded. Its certificates are read with the configuration: what `weir check` has
 * seen is what is served. */
#pragma once

#include "tls/profile.h"

struct tls_slot;

enum tls_unknown_name { TLS_UNKNOWN_REFUSE, TLS_UNKNOWN_FIRST };
enum tls_client_wanted { TLS_CLIENT_REQUIRE, TLS_CLIENT_REQUEST };

struct tls_certificate_conf {
    const char *cert, *key; /* NULL: a CA issues it */
    const char *ocsp;       /* NULL: nothing is said of revocation */
    struct conf_items acme; /* const char *: its names, lower case, if a CA issues it by ACME */
    const char *file;       /* then, where it and its key are; the arena's */
};

static inline const char *tls_certificate_conf_cert(const struct tls_certificate_conf *c)
{
    return c->file ? c->file : c->cert;
}

static inline const char *tls_certificate_conf_key(const struct tls_certificate_conf *c)
{
    return c->file ? c->file : c->key;
}

/* `client: {ca: …, certificate: require}` */
struct tls_client_conf {
    const char *ca;
    uint32_t certificate; /* enum tls_client_wanted */
};

/* `hsts: 180d`, or `{max_age: 730d, subdomains: true, preload: true}` (RFC 6797) */
struct tls_hsts_conf {
    uint64_t max_age_ms;
    bool subdomains, preload;
    const char *value; /* the field's, made of the above */
};

struct tls_conf {
    struct conf_items certificates; /* struct tls_certificate_conf */
    uint32_t profile;               /* enum tls_profile */
    uint32_t unknown_name;          /* enum tls_unknown_name */
    struct tls_client_conf *client; /* NULL: clients show none */
    const char *ticket_keys;        /* NULL: made here */
    struct tls_hsts_conf *hsts;     /* NULL: nothing is said */
    struct tls_slot *slot; /* what the files had in them; the arena's. NULL where they are at fault */
};

/* Some of its certificates are a CA's to issue: they are read when it is known where they are. */
bool tls_conf_has_acme(const struct tls_conf *conf);
/* What the files have in them, into conf->slot; with faults and notes at `node`, which is that of `tls:`. */
struct conf_decode;
void tls_conf_read(struct conf_decode *d, const struct conf_node *node, struct tls_conf *conf);

extern const struct conf_type tls_conf_type, tls_certificate_conf_type, tls_server_certificate_type;
