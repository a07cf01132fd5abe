/* command/check.h: `weir check`. */
#pragma once

#include "command/options.h"

int check_command(int argc, char **argv);
extern const struct syntax check_syntax;
