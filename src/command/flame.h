/* command/flame.h: `weir flame`: a running weir's CPU time as a flame graph. */
#pragma once

#include "command/options.h"

extern const struct syntax flame_syntax;
int flame_command(int argc, char **argv);
