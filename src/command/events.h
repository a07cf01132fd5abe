/* command/events.h: `weir events`: what happened to a running weir of late, and notes of one's own. */
#pragma once

#include "command/options.h"

extern const struct syntax events_syntax;
int events_command(int argc, char **argv);
