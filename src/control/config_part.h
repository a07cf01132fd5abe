/* control/config_part.h: the API's question what the configuration in force says of one object. Control thread; the answer is made on
 * the jobs' thread, as all pools of a large configuration are a long text. */
#pragma once

#include "admin/reloader.h"
#include "control/config.h"
#include "net/jobs.h"

/* As reloader's `look_at`. `etag`: of the configuration, which is held until the answer has been made. */
MUST_CHECK bool config_part_look(struct jobs *jobs, const struct config *config, const char *etag,
                                 const struct reload_part *part);
