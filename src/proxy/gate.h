/* proxy/gate.h: whether an address may pass: the address blocks of one gate, compiled. Immutable, shared by
 * all threads. The limits of a gate are counted elsewhere: proxy/client_table.h. */
#pragma once

#include "route/gate_conf.h"

enum gate_verdict {
    GATE_PASS,
    GATE_DENIED,      /* in a block of `deny` */
    GATE_NOT_ALLOWED, /* there is an `allow`, and it is in none of its blocks */
};

struct gate_rules;

/* The smallest block that holds the address decides, `deny` where one is in both lists. NULL when out of
 * memory. */
struct gate_rules *gate_rules_new(const struct gate_conf *conf);
void gate_rules_free(struct gate_rules *rules); /* NULL is fine */
enum gate_verdict gate_check(const struct gate_rules *rules, const struct ip *ip);
