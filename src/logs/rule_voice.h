/* logs/rule_voice.h: how much of what rules do is written to weir's log: the first lines of a flood, then one a second and
 * rule, and of the rest a sum. Whoever floods a log that is watched must not flood weir's. Control thread. */
#pragma once

#include "base/err.h"
#include "base/log.h"
#include "logs/rule_log.h"

struct text;

#define RULE_VOICE_BURST 10u
#define RULE_OUTCOMES (RULE_NO_ROOM + 1u)

struct rule_voice {
    struct log_limit limit;
    uint64_t held[RULE_OUTCOMES]; /* not written since the last sum, by outcome */
    uint64_t held_count;
};

/* Whether a line of its own may be written for it; else it goes into the sum. */
bool rule_voice_may_speak(struct rule_voice *v, enum rule_outcome outcome, uint64_t now_ns);
/* What was held back, to be written now, after which it counts from 0: "denied=3 dry=0 …". False: nothing was. */
bool rule_voice_sum(struct rule_voice *v, struct text *out);
