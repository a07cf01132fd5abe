/* command/dump.h: `weir dump`: a core file of a living weir. */
#pragma once

#include "command/options.h"

int dump_command(int argc, char **argv);
extern const struct syntax dump_syntax;
