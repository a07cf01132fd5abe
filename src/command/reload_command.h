/* command/reload_command.h: `weir reload`. */
#pragma once

extern const char reload_help[];
int reload_command(int argc, char **argv);
