/* The fewest open connections for its weight, idle ones included. */
#include "balance/least.h"
#include "balance/method.h"

static void pick(const void *table, void *state, const struct balance_query *q, struct balance_choice *out)
{
    (void)state;
    least_pick(table, offsetof(struct balance_peer, open_connections), q, out);
}

BALANCE_METHOD(least_connections,
               "The server with the fewest open connections for its weight, idle ones included.",
               &least_conf_type, .build = least_build, .drop = least_drop, .table_bytes = least_table_bytes,
               .pick = pick);
