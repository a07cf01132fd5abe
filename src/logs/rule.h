/* logs/rule.h: a condition over a log's records that names somebody: who made more records of a kind than a rate allows.
 *
 *     rate(EXPRESSION) by client > 30/m
 *
 * EXPRESSION is a filter (logs/filter.h). By client: an address; by network: IPv4 /24, IPv6 /64. The rate is a number a
 * second, minute, hour (`/s`, `/m`, `/h`) or a time (`100/10m`, a second to a day), with > or >=.
 *
 * Counts slide over the time in eighths: what is older by up to an eighth may count no longer, never more than came.
 * Memory is fixed: RULE_KEYS keys; when a set of them is full, the one with the fewest records makes way. One thread. */
#pragma once

#include "base/err.h"
#include "logs/entry.h"

#define RULE_KEYS 16384u
#define RULE_TEXT_MAX 2048u
#define RULE_COUNT_MAX 1000000u

struct rule;

struct rule_hit {
    struct ip ip; /* the network's first address */
    uint8_t bits; /* of the mapped form: 128 for one address, 120 for a /24 */
    uint64_t count;
};

/* -1 with the sentence and what would be right. */
MUST_CHECK int rule_compile(struct rule **out, struct slice when, struct err *err);
/* The same without making one: for a configuration's check. */
MUST_CHECK int rule_check(struct slice when, struct err *err);
void rule_free(struct rule *r); /* NULL is fine */
/* See filter_bind(). */
void rule_bind(struct rule *r, enum log_field (*field_of)(const void *context, struct slice name),
               const void *context);
/* See filter_gave_up(). */
uint64_t rule_gave_up(const struct rule *r);
/* Who is over the rate is told again with his next record, whenever he was told last: what is done about him is something else. */
void rule_tell_anew(struct rule *r);
/* Counts the record if it is of the kind, at its own time (now_s where it has none). True once when its client, or network,
 * goes over the rate; then not again for quiet_s. Records that are older than the rate's time do not count. */
bool rule_count(struct rule *r, const struct log_entry *e, uint64_t now_s, uint64_t quiet_s,
                struct rule_hit *out);
