/* command/perf.h: `weir perf`: what any process or systemd unit does: CPU profile on and off the CPU, figures over time. */
#pragma once

#include "command/options.h"

extern const struct syntax perf_syntax;
int perf_command(int argc, char **argv);
