/* command/leaks.h: `weir leaks`: does a running weir leak anything? */
#pragma once

extern const char leaks_help[];
int leaks_command(int argc, char **argv);
