/* control/reload_signal.h: the file anew, because a signal said so. */
#pragma once

#include "admin/audit.h"
#include "admin/reloader.h"

struct proxy;

/* What comes of it goes to the log, and to the audit trail as what `who` did, which is copied. path: of the file; NULL: weir has
 * none, which is said. All others are borrowed for as long as the reloader answers. */
void reload_by_signal(struct reloader *reloader, const char *path, const struct proxy *proxy,
                      struct audit *audit, const struct audit_entry *who);
