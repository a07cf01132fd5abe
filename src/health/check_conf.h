/* health/check_conf.h: `health:` of a pool as decoded: what weir asks each server now and then, and what is a good answer.
 * Immutable, part of the configuration's snapshot. */
#pragma once

#include "conf/field.h"
#include "http/message.h"

#define CHECK_TEXT_MAX 255 /* bytes of what is looked for in an answer */
#define CHECK_STATUSES_MAX 16

struct status_range {
    uint16_t from, to;
};

struct check_header {
    const char *name, *value;
};

struct check_http_conf {
    uint32_t method; /* of check_methods */
    const char *path;
    const char *host;           /* NULL: the server's address */
    struct conf_items headers;  /* struct check_header */
    struct conf_items statuses; /* struct status_range */
    const char *body;           /* NULL: any */
    uint64_t body_bytes;
};

struct check_tcp_conf {
    const char *send, *answer; /* NULL: nothing, and none is waited for */
};

struct check_grpc_conf {
    const char *service; /* NULL: the server as a whole */
};

struct check_dns_conf {
    const char *name;
    uint32_t type;            /* of dns_type_names */
    struct conf_items rcodes; /* uint32_t */
};

struct check_udp_conf {
    const char *send, *answer;
};

/* Exactly one of the kinds is there. */
struct check_conf {
    struct check_http_conf *http;
    struct check_tcp_conf *tcp;
    struct check_grpc_conf *grpc;
    struct check_dns_conf *dns;
    struct check_udp_conf *udp;
    uint64_t interval_ms, changing_ms, timeout_ms;
    uint32_t rise, fall;
    uint32_t port; /* 0: the server's own */
    bool over_tls; /* if the pool's servers are spoken to so */
};

extern const struct conf_type check_conf_type;

enum http_method check_method(const struct check_http_conf *c);
bool check_expects(const struct check_http_conf *c, uint16_t status);
bool check_expects_rcode(const struct check_dns_conf *c, uint32_t rcode);
/* It is asked over UDP: without TLS, and nothing comes before the question. */
static inline bool check_is_of_datagrams(const struct check_conf *c)
{
    return c->dns || c->udp;
}
