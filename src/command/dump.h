/* command/dump.h: `weir dump`: a core file of a living weir. */
#pragma once

int dump_command(int argc, char **argv);
extern const char dump_help[];
