/* balance/least.h: the least loaded for its weight: what least_request and least_connections have in
 * common. */
#pragma once

#include "balance/balance.h"

/* Up to so many peers all are looked at; above, two that are drawn. */
#define LEAST_SCAN_MAX 64

/* As balance_method.build and .drop. */
int least_build(const struct balance_set *set, const void *conf, void **table, struct err *err);
void least_drop(void *table);
/* `load`: the offset in struct balance_peer of the counter to go by. */
void least_pick(const void *table, size_t load, const struct balance_query *q, struct balance_choice *out);
