/* command/flame.h: `weir flame`: a running weir's CPU time as a flame graph. */
#pragma once

extern const char flame_help[];
int flame_command(int argc, char **argv);
