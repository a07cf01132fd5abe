/* command/split_report.h: `weir split`: what a running weir knows of its A/B splits. */
#pragma once

#include "command/options.h"

#include <stdio.h>

#include "conf/node.h"

extern const struct syntax split_syntax;
int split_command(int argc, char **argv);

/* GET /api/v1/splits/{split}/report, as a table and what it means. -1: it could not be written. */
MUST_CHECK int split_report_tell(const struct conf_node *report, FILE *out);
/* Of GET or PATCH /api/v1/splits/{split}: what its guard is at. */
MUST_CHECK int split_guard_tell(const struct conf_node *split, FILE *out);
/* GET /api/v1/splits, as a table. */
MUST_CHECK int split_list_tell(const struct conf_node *list, FILE *out);
