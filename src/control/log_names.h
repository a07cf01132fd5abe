/* control/log_names.h: what rules and sources of logs are called, for as long as somebody is denied by them or it is told what they did:
 * that outlives the configuration they came with. Each name is there once, so that equal ones are the same pointer. Control
 * thread. */
#pragma once

#include "base/list.h"
#include "logs/rule_log.h"
#include "proxy/denials.h"

struct log_names {
    struct list all;
};

void log_names_init(struct log_names *n);
void log_names_fini(struct log_names *n);
/* NULL: no memory. It stays at least until the next log_names_sweep(). */
const char *log_names_keep(struct log_names *n, const char *text);
/* It is in use: the next sweep leaves it. */
void log_names_mark(const char *name);
/* Lets go of all that is neither marked nor named by a denial or an event. */
void log_names_sweep(struct log_names *n, const struct denials *d, const struct rule_log *log);
