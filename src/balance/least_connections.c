/* The fewest open connections for its weight, idle ones included. */
#include "balance/least.h"
#include "balance/method.h"

BALANCE_METHOD(least_connections,
               "The server with the fewest open connections for its weight, idle ones included.",
               &least_conf_type, .build = least_build, .drop = least_drop, .table_bytes = least_table_bytes,
               .state_size = sizeof(struct shares_state), .state_size_per_peer = sizeof(uint64_t),
               .inherit = least_inherit, .pick = least_pick_by_connections);
