/* command/demo.h: `weir demo`: three small HTTP servers within the process, for weir to balance. */
#pragma once

#include "command/options.h"

/* Runs weir on 127.0.0.1:18999 (admin on 9091) in front of three servers of its own. */
int demo_command(int argc, char **argv);
extern const struct syntax demo_syntax;
