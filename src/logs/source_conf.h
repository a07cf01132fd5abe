/* logs/source_conf.h: `logs:` of the configuration: which logs are watched, and what is done about what they say. Part of
 * a snapshot. */
#pragma once

#include "base/address.h"
#include "conf/field.h"

#define LOG_RULES_MAX 64u

struct source_format_conf {
    const char *text;       /* "combined", "json", or a log_format's; NULL if nginx_conf says it */
    const char *nginx_conf; /* path; NULL */
};

/* What a source says of nginx's upstreams, to a pool's health. */
struct source_health_conf {
    const char *pool;
    uint32_t errors_percent; /* 0: not judged */
    uint64_t latency_ms;     /* likewise */
    uint32_t attempts;
    uint64_t over_ms;
};

enum source_from { SOURCE_FROM_START, SOURCE_FROM_END };

struct source_conf {
    const char *name;
    const char *path;      /* file or pattern; "-": standard input; NULL if syslog */
    struct address syslog; /* len 0: none */
    struct source_format_conf format;
    uint32_t from;                     /* enum source_from */
    struct source_health_conf *health; /* NULL: none */
};

struct rule_action_conf {
    uint32_t gate; /* enum; only "deny" */
    uint64_t for_ms;
};

struct rule_conf {
    const char *name, *when;
    struct rule_action_conf act;
    const char *source;      /* NULL: every one */
    struct conf_items allow; /* struct cidr: never touched */
    bool is_dry;
};

struct logs_conf {
    const char *state;         /* directory; NULL: nothing is kept over a restart */
    struct conf_items sources; /* struct source_conf */
    struct conf_items rules;   /* struct rule_conf */
};

/* What it is called: by its name or, without one, by its condition. */
const char *rule_conf_name(const struct rule_conf *r);
bool rule_conf_looks_at(const struct rule_conf *r, const struct source_conf *s);
/* Which rule of `was` each rule of `now` is, by what they are called; of several that are called alike the first is the first.
 * LOG_RULES_MAX: none of them. */
void rules_pair(const struct logs_conf *was, const struct logs_conf *now, uint32_t from[LOG_RULES_MAX]);
/* NULL: there is none of that name. */
const struct source_conf *source_conf_find(const struct logs_conf *c, const char *name);
/* Nothing is watched. */
extern const struct logs_conf logs_conf_nothing;

extern const struct conf_type logs_conf_type, source_conf_type, rule_conf_type;
