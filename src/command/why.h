/* command/why.h: `weir why`: the story of one exchange. */
#pragma once

#include "command/options.h"

extern const struct syntax why_syntax;
int why_command(int argc, char **argv);
