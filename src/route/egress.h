/* route/egress.h: where an egress route may go. Pure, immutable, shared by all workers.
 *
 * An entry allows names or addresses, and ports: "api.example.com:443", "*.example.com", "10.1.0.0/16:8080",
 * "[2001:db8::]/32:80-90", "192.0.2.7". Without ports it allows 80 and 443.
 *
 * A name is asked for only if an entry allows it. What it resolves to is checked again, right before the connection: an
 * address of the public internet will do; a loopback, private, link-local, multicast or otherwise special one (IANA's
 * special-purpose registries, RFC 6890, forms of IPv6 that hold an IPv4 address included) only if a block among the
 * entries holds it. So a name cannot lead inside by its owner's word (DNS rebinding). */
#pragma once

#include "base/address.h"
#include "base/err.h"

#define EGRESS_HOST_MAX 253u
#define EGRESS_PORT_HTTP 80u
#define EGRESS_PORT_HTTPS 443u

struct egress_target {
    char host[EGRESS_HOST_MAX + 1]; /* in lower case; an address without brackets */
    uint16_t port;
    bool is_secure; /* https */
    bool is_address;
    struct ip address; /* if it is one */
};

/* `text` is X-Egress-Host: host or host:port, an IPv6 address in brackets; X-Egress-Scheme: "http", "https" or empty. NULL, or
 * a static clause that says what is wrong. */
const char *egress_target_parse(struct slice text, struct slice scheme, struct egress_target *out);

struct egress_rules;

/* -1 with the sentence, which names the entry. */
MUST_CHECK int egress_rules_new(struct egress_rules **out, const char *const *allow, uint32_t count,
                                struct err *err);
void egress_rules_free(struct egress_rules *r); /* NULL is fine */
/* One entry alone, for the configuration's check. */
MUST_CHECK int egress_check_entry(struct slice entry, struct err *err);

/* Whether it may be asked for at all. */
bool egress_allows_target(const struct egress_rules *r, const struct egress_target *t);
/* Whether this address of it may be connected to. */
bool egress_allows_address(const struct egress_rules *r, const struct egress_target *t, const struct ip *ip);
/* Not of the public internet. */
bool egress_is_special(const struct ip *ip);
