/* admin/pools.h: a server as answers show it. */
#pragma once

#include "admin/router.h"
#include "pool/roster.h"

/* That the path names; NULL: `out` says that there is none. */
struct server *server_asked_for(const struct admin_request *rq, struct answer *out);
/* How it is now. */
void server_answer(const struct admin_request *rq, struct server *s, struct answer *out);
/* By server_shape. */
void server_print(const struct roster_place *place, const struct metric_registry *metrics, struct json *j);
