#include "logs/rule_voice.h"

#include <string.h>

#include "base/text.h"

bool rule_voice_may_speak(struct rule_voice *v, enum rule_outcome outcome, uint64_t now_ns)
{
    uint32_t suppressed = 0; /* the sum says it, by outcome */
    if (log_limit_pass(&v->limit, now_ns, RULE_VOICE_BURST, &suppressed)) return true;
    v->held[outcome]++;
    v->held_count++;
    return false;
}

bool rule_voice_sum(struct rule_voice *v, struct text *out)
{
    if (!v->held_count) return false;
    for (unsigned i = 0; i < RULE_OUTCOMES; i++)
        text_printf(out, "%s%s=%llu", i ? " " : "", rule_outcome_name((enum rule_outcome)i),
                    (unsigned long long)v->held[i]);
    memset(v->held, 0, sizeof(v->held));
    v->held_count = 0;
    return true;
}
