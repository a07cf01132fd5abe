/* control/server_check.h: which servers are checked, and what becomes of the verdicts: the pools' configurations on one side,
 * the checks of health/checker.h on the other. A server that is kept from one configuration to the next keeps what is known
 * of it; one that goes takes its check with it. Servers that a subset leaves out are not asked: nothing goes to them.
 * Control thread. */
#pragma once

#include "proxy/proxy.h"

struct server_checks;

struct server_checks_options {
    struct proxy *proxy; /* borrowed, as the next */
    struct loop *loop;
    void (*on_change)(void *context, struct server *s); /* who may be picked has changed */
    void *context;
};

MUST_CHECK int server_checks_new(struct server_checks **out, const struct server_checks_options *o,
                                 struct err *err);
/* The configuration in force is another, or the first: in the turn in which it became so. */
void server_checks_follow(struct server_checks *k);
/* One pool has other servers than before: those that stay are asked on as they are. */
void server_checks_follow_pool(struct server_checks *k, const struct pool *p);
/* Asks nobody any more. NULL is fine, also in the next. */
void server_checks_stop(struct server_checks *k);
void server_checks_free(struct server_checks *k);
