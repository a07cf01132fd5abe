/* The fewest exchanges in flight (tunnels, on tcp pools) for its weight. */
#include "balance/least.h"
#include "balance/method.h"

static void pick(const void *table, void *state, const struct balance_query *q, struct balance_choice *out)
{
    (void)state;
    least_pick(table, offsetof(struct balance_peer, in_flight), q, out);
}

BALANCE_METHOD(least_request, "The server with the fewest requests in flight for its weight.",
               &least_conf_type, .build = least_build, .drop = least_drop, .table_bytes = least_table_bytes,
               .pick = pick);
