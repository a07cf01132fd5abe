/* command/top.h: `weir top`: what the dashboard shows, in a terminal; or once, for scripts. */
#pragma once

#include "command/options.h"

extern const struct syntax top_syntax;
int top_command(int argc, char **argv);
