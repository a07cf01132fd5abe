#include "logs/rule_log.h"

#include <stddef.h>

const char *rule_outcome_name(enum rule_outcome outcome)
{
    static const char *const names[] = { "dry", "denied", "allow_listed", "no_room" };
    return names[outcome];
}

void rule_log_add(struct rule_log *log, const struct rule_event *e)
{
    log->events[log->count++ % RULE_LOG_MAX] = *e;
}

const struct rule_event *rule_log_latest(const struct rule_log *log, uint32_t n)
{
    if (n >= log->count || n >= RULE_LOG_MAX) return NULL;
    return &log->events[(log->count - 1 - n) % RULE_LOG_MAX];
}
