/* proxy/rate.h: the rate limits of one configuration, and what they say to a request. A limit is found by its place (the
 * listener, route or pool that it belongs to): its accounts are kept from one configuration to the next, so that nobody begins
 * anew with a reload. Made and let go of by the control thread; workers ask. */
#pragma once

#include "base/list.h"
#include "proxy/rate_table.h"
#include "route/rate_conf.h"

struct metric_registry;
struct metric_shard;

enum rate_outcome {
    RATE_PASSED,
    RATE_DELAYED,
    RATE_REFUSED,
    RATE_WOULD_DELAY,
    RATE_WOULD_REFUSE,
    RATE_OUTCOMES
};
/* "passed", "delayed", "refused", "would_delay", "would_refuse" */
const char *rate_outcome_name(enum rate_outcome outcome);

/* Accounts that several configurations may use; in the proxy's list. */
struct rate_book {
    struct list link;
    uint32_t users;
    uint32_t keys;
    struct rate_table *table;
    char *name; /* the place and what is counted: "route web/api client" */
};

struct rate_limit {
    const struct rate_conf *conf;
    const char *kind; /* "listener", "route", "pool"; static */
    char *name;       /* of that: "web/api" */
    char *detail;     /* for those who are refused: "the rate of this route is 100/s; try again later" */
    char *policy;     /* RateLimit-Policy: "\"route\";q=100;w=1" */
    struct rate_book *book;
    struct rate_rule rule;
    bool asks_user; /* its key has who it is */
    uint32_t meters[RATE_OUTCOMES], meter_forgotten;
};

/* `books`: the proxy's list. `route` is NULL but for a route, whose listener is `name` then. */
MUST_CHECK int rate_limit_new(struct rate_limit **out, struct list *books, struct metric_registry *metrics,
                              const char *kind, const char *name, const char *route,
                              const struct rate_conf *conf, struct err *err);
void rate_limit_free(struct rate_limit *l); /* NULL is fine */

/* What is made of one more request, which is counted if it passes; in dry runs *v is what would have been. */
enum rate_outcome rate_limit_take(const struct rate_limit *l, const struct http_template_input *in,
                                  uint64_t now_ns, struct metric_shard *metrics, struct rate_verdict *v);
/* Likewise, counting nothing. */
enum rate_outcome rate_limit_look(const struct rate_limit *l, const struct http_template_input *in,
                                  uint64_t now_ns, struct rate_verdict *v);

/* "\"route\";r=7;t=3" (draft-ietf-httpapi-ratelimit-headers 4.2) */
void rate_limit_print(const struct rate_limit *l, const struct rate_verdict *v, struct text *out);
/* Whole seconds, rounded up. */
static inline uint64_t rate_seconds(uint64_t ns)
{
    return (ns + 999999999u) / 1000000000u;
}
