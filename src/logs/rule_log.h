/* logs/rule_log.h: what rules did, or would have done: the latest of it, for people. Control thread. */
#pragma once

#include <stdint.h>

#include "logs/rule.h"

#define RULE_LOG_MAX 256u

enum rule_outcome { RULE_DRY, RULE_DENIED, RULE_ALLOWED, RULE_NO_ROOM };

/* "dry", "denied", "allow_listed", "no_room" */
const char *rule_outcome_name(enum rule_outcome outcome);

struct rule_event {
    uint64_t wall_ns, until_ns; /* since 1970; until_ns: of a denial, or what it would have been */
    const char *rule, *source;  /* what they are called; borrowed as long as the event is there */
    struct rule_hit hit;
    enum rule_outcome outcome;
};

struct rule_log {
    uint64_t count; /* in all; the latest RULE_LOG_MAX are there */
    struct rule_event events[RULE_LOG_MAX];
};

void rule_log_add(struct rule_log *log, const struct rule_event *e);
/* The n-th latest, from 0; NULL: no more. */
const struct rule_event *rule_log_latest(const struct rule_log *log, uint32_t n);
