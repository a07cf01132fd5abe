/* command/event_report.h: `weir events report`: what has changed with an event, from the API's answer. */
#pragma once

#include <stdio.h>

#include "base/err.h"
#include "conf/node.h"

/* GET /api/v1/events/{event}/report as a table. -1: it could not be written. */
MUST_CHECK int event_report_tell(const struct conf_node *report, FILE *out);
