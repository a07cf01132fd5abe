/* command/simulate.h: `weir simulate`: what a change of the configuration would do to a log's requests, or to made ones. */
#pragma once

#include "command/options.h"

int simulate_command(int argc, char **argv);
extern const struct syntax simulate_syntax;
