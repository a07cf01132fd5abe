/* command/config_command.h: `weir config`: configurations that a running weir has kept. */
#pragma once

extern const char config_help[];
int config_command(int argc, char **argv);
