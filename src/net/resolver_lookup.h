/* net/resolver_lookup.h: one question to a resolver's name servers, whose answer nobody keeps but who asked: all addresses
 * that come, and how long they hold. That loop's thread. */
#pragma once

#include "net/resolver.h"
#include "net/srv_answer.h"

/* More than fit into the largest answer. */
#define RESOLVER_FOUND_MAX 4096u

struct resolver_found {
    enum resolver_result result;
    uint32_t ttl_s; /* the shortest on the way to them, aliases included */
    uint32_t count; /* 1 or more if RESOLVER_OK */
    const struct ip *addresses;
};

struct resolver_call;

/* Embedded; zeroed before its first use. */
struct resolver_lookup {
    struct resolver_call *call; /* NULL: nothing is asked */
    /* From the loop, or before resolver_look_up() returns; `found` lives until the call returns. */
    void (*on_found)(struct resolver_lookup *l, const struct resolver_found *found);
    /* Likewise, of a service; `answer` with RESOLVER_OK, and then it has a target at least. */
    void (*on_targets)(struct resolver_lookup *l, enum resolver_result result,
                       const struct srv_answer *answer);
};

/* For addresses of one family. One question at a time. A literal address is none of a name's: it is not asked for here. */
void resolver_look_up(struct resolver *r, struct resolver_lookup *l, const char *name, sa_family_t family);
/* For "_http._tcp.app.internal". */
void resolver_look_up_service(struct resolver *r, struct resolver_lookup *l, const char *name);
/* Neither comes any more. Fine at any time. */
void resolver_lookup_cancel(struct resolver_lookup *l);
