/* admin/admin.h: the admin API: REST, metrics and health checks over weir's own HTTP layer, on the control
 * thread's loop. */
#pragma once

#include "admin/admin_conf.h"
#include "base/err.h"

struct admin;
struct loop;
struct proxy;

/* Listens; answers once the loop turns. All but `out` and `err` are borrowed until admin_close(), the
 * proxy only as long as the loop turns. */
MUST_CHECK int admin_open(struct admin **out, const struct admin_conf *conf, struct proxy *proxy,
                          struct loop *control_loop, struct err *err);
/* No new connections; those that are open end with the answer they are at. While weir drains its traffic
 * the API is better left as it is: /readyz says 503 then, and people look how far it got. */
void admin_drain(struct admin *a);
/* At once. The memory goes when the loop next empties its graveyard. NULL is fine. */
void admin_close(struct admin *a);
