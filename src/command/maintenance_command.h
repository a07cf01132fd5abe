/* command/maintenance_command.h: `weir maintenance`: what is out for maintenance, and switching it. */
#pragma once

#include "command/options.h"

extern const struct syntax maintenance_syntax;
int maintenance_command(int argc, char **argv);
