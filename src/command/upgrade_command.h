/* command/upgrade_command.h: `weir upgrade`. */
#pragma once

#include "command/options.h"

extern const struct syntax upgrade_syntax;
int upgrade_command(int argc, char **argv);
