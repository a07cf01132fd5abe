/* route/route_shadow.h: routes that no request can take, since another that is asked before them takes every one that
 * they could, or since they leave out what they ask for. Pure; for the control side, at the reading of a configuration. */
#pragma once

#include "route/route_conf.h"

/* Fills shadowed_by[i] with the index of a route that takes whatever route i could take, or ROUTE_NONE. Told are routes
 * for the same host and the same path, of which the one asks for no more than the other; a false alarm is impossible.
 * False: there is no memory. */
MUST_CHECK bool route_shadow_find(const struct route_conf *routes, uint32_t count, uint32_t *shadowed_by);
/* The key of the condition of which its `not` leaves nothing; NULL: there is something that it takes. */
const char *route_shadow_left_out(const struct route_conf *r);
