/* admin/pools.h: a server as answers show it. */
#pragma once

#include "base/json.h"
#include "pool/roster.h"

/* By server_shape. */
void server_print(const struct roster_place *place, const struct metric_registry *metrics, struct json *j);
