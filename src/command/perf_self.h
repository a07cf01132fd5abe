/* command/perf_self.h: which process is the weir that runs on this host. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* -1: there is none that may be looked at, or more than one. */
MUST_CHECK int perf_self_find(int32_t *out, struct err *err);
