/* command/check_names.h: where the names and files lead to now that a configuration has in its pools: for who checks it. */
#pragma once

#include "control/config.h"

/* A line for each on stdout; it takes DISCOVERY_FIRST_MS at most. That one cannot be asked is no fault of the configuration. */
void check_names_say(const struct config *config);
