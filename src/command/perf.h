/* command/perf.h: `weir perf`: what any process or systemd unit does: CPU profile on and off the CPU, figures over time. */
#pragma once

extern const char perf_help[];
int perf_command(int argc, char **argv);
