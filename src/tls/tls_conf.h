/* tls/tls_conf.h: `tls:` of a listener, as decoded. Its certificates are read with the configuration: what `weir check` has
 * seen is what is served. */
#pragma once

#include "tls/profile.h"

struct tls_slot;

enum tls_unknown_name { TLS_UNKNOWN_REFUSE, TLS_UNKNOWN_FIRST };
enum tls_client_wanted { TLS_CLIENT_REQUIRE, TLS_CLIENT_REQUEST };

struct tls_certificate_conf {
    const char *cert, *key;
    const char *ocsp; /* NULL: nothing is said of revocation */
};

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

extern const struct conf_type tls_conf_type, tls_certificate_conf_type;
