/* command/schema.h: `weir schema`. */
#pragma once

#include "command/options.h"

int schema_command(int argc, char **argv);
extern const struct syntax schema_syntax;
