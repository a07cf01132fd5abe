/* balance/least.h: the least loaded for its weight: what least_request and least_connections have in
 * common. */
#pragma once

#include "balance/balance.h"

#define LEAST_SCAN 64u   /* by default */
#define LEAST_CHOICES 2u /* likewise */

struct least_conf {
    uint32_t scan;    /* up to so many peers all are looked at */
    uint32_t choices; /* above, so many that are drawn: 2..ALIAS_CHOICES_MAX */
};
extern const struct conf_type least_conf_type;

/* As balance_method.build, .drop and .table_bytes. `conf`: struct least_conf, or NULL for the defaults. */
int least_build(const struct balance_set *set, const void *conf, void **table, struct err *err);
void least_drop(void *table);
size_t least_table_bytes(const void *table);
/* `load`: the offset in struct balance_peer of the counter to go by. */
void least_pick(const void *table, size_t load, const struct balance_query *q, struct balance_choice *out);
