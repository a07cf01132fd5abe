/* command/invariants.h: `weir invariants`: whether what a running weir counts is what there is. */
#pragma once

#include "command/options.h"

extern const struct syntax invariants_syntax;
int invariants_command(int argc, char **argv);
