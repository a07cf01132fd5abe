/* command/explain.h: `weir explain`: where a request would go and why, by a file or by a running weir. */
#pragma once

#include "command/options.h"

#include <stdio.h>

#include "conf/node.h"

extern const struct syntax explain_syntax;
int explain_command(int argc, char **argv);

/* What proxy/explain.h (or POST /api/v1/explain) says, as a short story: a decision a line. -1: it could not be
 * written. */
MUST_CHECK int explain_tell(const struct conf_node *explanation, FILE *out);
