/* command/tail.h: `weir tail`: exchanges of a running weir as they end. */
#pragma once

#include "command/options.h"

extern const struct syntax tail_syntax;
int tail_command(int argc, char **argv);
