/* command/config_command.h: `weir config`: configurations that a running weir has kept. */
#pragma once

#include "command/options.h"

extern const struct syntax config_syntax;
int config_command(int argc, char **argv);
