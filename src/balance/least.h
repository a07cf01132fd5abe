/* balance/least.h: the least loaded for its weight, what it is behind its share counted in: what least_request and
 * least_connections have in common. */
#pragma once

#include "balance/shares.h"

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
/* As balance_method.pick and .inherit; the state is a struct shares_state. */
void least_pick_by_requests(const void *table, void *state, const struct balance_query *q,
                            struct balance_choice *out);
void least_pick_by_connections(const void *table, void *state, const struct balance_query *q,
                               struct balance_choice *out);
void least_inherit(const void *table, void *state, const void *old, const void *old_state,
                   const uint32_t *from, struct rng *rng);
