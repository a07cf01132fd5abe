/* command/leaks.h: `weir leaks`: does a running weir leak anything? */
#pragma once

#include "command/options.h"

extern const struct syntax leaks_syntax;
int leaks_command(int argc, char **argv);
