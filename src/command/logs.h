/* command/logs.h: `weir logs`: statistics of nginx's log files, and what can be fetched from them. */
#pragma once

#include "command/options.h"

int logs_command(int argc, char **argv);
extern const struct syntax logs_syntax;
