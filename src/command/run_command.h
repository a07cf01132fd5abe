/* command/run_command.h: `weir run`. */
#pragma once

#include "command/options.h"

int run_command(int argc, char **argv);
extern const struct syntax run_syntax;
