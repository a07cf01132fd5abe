/* proxy/split.h: splits at run time: variants with their pools and counters. Part of a site (proxy/site.h),
 * immutable but for the counters. */
#pragma once

#include "metric/metric.h"
#include "pool/pool.h"
#include "proxy/split_book.h"

struct site;

struct split_variant {
    const struct split_variant_conf *conf;
    const char *own_name; /* "b"; in the process's names */
    struct split *split;
    uint32_t index;
    char name[132]; /* "checkout=b": what servers, logs and records are told */
    uint32_t id;    /* of that name */
    struct roster *pool;
    uint32_t weight;         /* in force: the configuration's, or what the guard makes of it */
    struct split_book *book; /* the split's */
    uint32_t meter_exchanges, meter_errors, meter_seconds; /* of those that the split assigned */
    uint32_t meter_overrides;                              /* who asked for it, and may */
};

struct split {
    const struct split_conf *conf;
    const char *name; /* in the process's names */
    uint32_t variant_count;
    struct split_variant *variants;
    struct split_table table;
    struct split_book *book; /* of the report; the site is its user, longer than it has the split */
};

/* Zeroed memory in `site`, whose pools are there already. */
MUST_CHECK int split_open(struct split *s, struct site *site, const struct split_conf *conf, struct err *err);
void split_close(struct split *s);
/* Other weights, at once and for all workers: the guarded variant has what its guard says, the first the rest of the two. */
void split_deal(struct split *s);

/* An exchange that has ended. An error is a 5xx, or no whole response for another reason than the client's. */
struct split_outcome {
    bool is_override; /* it asked for its variant: it says nothing of the split */
    bool is_error;
    uint8_t bucket; /* of its unit; any for an override */
    uint64_t total_us;
};
/* On the worker's thread, into its shard and its pages. */
void split_count(const struct split_variant *v, struct metric_shard *shard, uint32_t worker,
                 const struct split_outcome *outcome);
