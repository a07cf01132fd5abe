/* command/doctor.h: `weir doctor`: what of this host gets in the way of a load balancer (host/host_check.h). */
#pragma once

#include "command/options.h"

extern const struct syntax doctor_syntax;
/* 0 nothing worse than a note, 1 warnings, 2 failures; 64 usage, 71 memory, 74 output, 78 configuration. */
int doctor_command(int argc, char **argv);
