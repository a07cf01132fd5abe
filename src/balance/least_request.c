/* The fewest exchanges in flight (tunnels, on tcp pools) for its weight. */
#include "balance/least.h"
#include "balance/method.h"

BALANCE_METHOD(least_request, "The server with the fewest requests in flight for its weight.",
               &least_conf_type, .build = least_build, .drop = least_drop, .table_bytes = least_table_bytes,
               .state_size = sizeof(struct shares_state), .state_size_per_peer = sizeof(uint64_t),
               .inherit = least_inherit, .pick = least_pick_by_requests);
