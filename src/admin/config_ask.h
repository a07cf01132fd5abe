/* admin/config_ask.h: a call that asks for another configuration and is answered when that is decided. The call's route has
 * reload_query and reload_outcome_shape. */
#pragma once

#include "admin/reloader.h"
#include "admin/router.h"

/* What `what` borrows is copied. `location`: of what may come of it, taken (allocated); NULL: nothing. */
void config_ask(const struct admin_request *rq, struct reload_ask *what, char *location, struct answer *out);
/* What a query like dry_run says; absent: false. False: it is neither true nor false. */
MUST_CHECK bool config_read_flag(struct slice value, bool *out);
