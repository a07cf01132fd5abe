/* command/audit.h: `weir audit`: who changed what of a running weir. */
#pragma once

#include "command/options.h"

extern const struct syntax audit_syntax;
int audit_command(int argc, char **argv);
