/* command/reload_command.h: `weir reload`. */
#pragma once

#include "command/options.h"

extern const struct syntax reload_syntax;
int reload_command(int argc, char **argv);
