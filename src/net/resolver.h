/* net/resolver.h: names to addresses, asynchronously, by c-ares on the caller's loop: one resolver a worker. Answers
 * are kept for their TTL (bounded both ways), failures for a moment; several who ask for one name share one query.
 * Each family is a question of its own, so that one that is never answered (name servers that drop AAAA) holds nobody who
 * can go by the other (RFC 8305 3). Everything is bounded: names kept, queries going on. That loop's thread. */
#pragma once

#include <sys/socket.h>

#include "base/address.h"
#include "base/list.h"
#include "base/text.h"
#include "conf/field.h"
#include "net/loop.h"

#define RESOLVER_ADDRESSES_MAX 16u
#define RESOLVER_NAME_MAX 253u

/* `resolver: {servers: ["127.0.0.1:53"], timeout: 2s, attempts: 2}`; without servers those of /etc/resolv.conf. */
/* Which addresses of a pool's name are taken. */
enum resolver_family { RESOLVER_IPV4_FIRST, RESOLVER_IPV6_FIRST, RESOLVER_IPV4, RESOLVER_IPV6 };

struct resolver_conf {
    struct conf_items servers; /* struct address */
    uint64_t timeout_ms;       /* of one attempt */
    uint32_t attempts;
    uint64_t min_ttl_ms, max_ttl_ms, failure_ttl_ms;
    uint32_t names;          /* how many answers are kept, and how many queries may go on */
    uint32_t family;         /* enum resolver_family: of pools' names */
    uint64_t empty_after_ms; /* likewise: before it is believed that one has no addresses any more */
};

extern const struct conf_type resolver_conf_type;

enum resolver_result {
    RESOLVER_OK,
    RESOLVER_NO_NAME, /* NXDOMAIN, or no address of that family */
    RESOLVER_FAILED,  /* servers refuse, answer garbage, cannot be reached */
    RESOLVER_TIMEOUT,
    RESOLVER_FULL, /* too many queries are going on, or memory is out */
};
/* A clause for people: "the name does not exist or has no IPv4 address". family: the one that was asked for. */
const char *resolver_result_text(enum resolver_result result, sa_family_t family);

struct resolver_answer {
    enum resolver_result result;
    uint32_t count; /* 1 or more if RESOLVER_OK */
    struct ip addresses[RESOLVER_ADDRESSES_MAX];
};

/* One who waits. Embedded; zeroed before its first use. */
struct resolver_query {
    struct list link;
    /* From the loop; the query is free again. `answer` lives until the call returns. */
    void (*on_answer)(struct resolver_query *q, const struct resolver_answer *answer);
};

struct resolver;

MUST_CHECK int resolver_new(struct resolver **out, struct loop *l, const struct resolver_conf *conf,
                            struct err *err);
/* Whoever still waits is not told. */
void resolver_free(struct resolver *r);
/* For addresses of one family, AF_INET or AF_INET6. True: *answer is filled at once (kept, or a literal address, which may be
 * of the other family); on_answer does not come. False: it comes. */
bool resolver_ask(struct resolver *r, struct slice name, sa_family_t family, struct resolver_query *q,
                  struct resolver_answer *answer);
/* on_answer does not come. Fine at any time. */
void resolver_cancel(struct resolver_query *q);
/* Adds what it holds: timers that are armed, descriptors. */
void resolver_reach(const struct resolver *r, uint64_t *timers, uint64_t *descriptors);
