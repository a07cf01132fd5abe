/* proxy/hedge.h: whether another server is asked beside one that takes long, by what is known of the request and its attempt:
 * pure, so that the simulation plays by the same rules. What the pool's budget has left is asked behind it
 * (pool/retry_budget.h). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "route/retry_conf.h"

/* What stands in the way. X(identifier, a clause) */
#define HEDGE_BARS(X)                                                                   \
    X(NONE, "nothing")                                                                  \
    X(OFF, "it is not configured")                                                      \
    X(METHOD, "its method may not be repeated, and its route does not say that it may") \
    X(NAMED, "its server is named, by a cookie or by Weir-Pin")                         \
    X(UPGRADE, "it asks for another protocol")                                          \
    X(EXPECTS, "its body comes only once a server has asked for it")                    \
    X(ALONE, "there is no other server that could be asked")                            \
    X(UNKNOWN, "too few answers have come of late to tell how long servers take")       \
    X(ATTEMPTS, "it has had all of its attempts, or all of its time for them")          \
    X(ONCE, "it has been done before")                                                  \
    X(BODY, "not all of its body has come, or not all of it is kept")                   \
    X(BEGUN, "something of an answer has gone to the client")

enum hedge_bar {
#define X(id, means) HEDGE_BAR_##id,
    HEDGE_BARS(X)
#undef X
};

struct hedge_facts {
    uint32_t latency_us; /* pool_latency_us(); 0: not known */
    uint32_t servers;    /* that could be asked, the one that has been asked included */
    uint32_t attempts;   /* so far */
    uint64_t since_start_ms;
    bool is_repeatable; /* by its method, or because the operator says so */
    bool is_named, is_upgrade, expects_continue;
    bool was_hedged;
    bool is_whole; /* the request has come to its end, and all of it is here to be sent again */
    bool is_begun; /* something of an answer went to the client */
};

/* The first; HEDGE_BAR_NONE: another may be asked, hedge_after_ms() after the attempt's beginning, or after the end of a request
 * that has a body. */
enum hedge_bar hedge_bar(const struct retry_conf *conf, const struct hedge_facts *facts);
const char *hedge_bar_means(enum hedge_bar bar);
uint64_t hedge_after_ms(const struct hedge_conf *conf, uint32_t latency_us);
/* An answer that is taken although another may still come: neither a failure of the server's nor one that is named in `on`. */
bool hedge_is_good(const struct retry_conf *conf, uint16_t status);
