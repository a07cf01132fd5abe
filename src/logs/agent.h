/* logs/agent.h: a User-Agent's family: "Chrome", "Googlebot", "curl", … */
#pragma once

#include "base/slice.h"

/* Static text; "(none)" for an empty one or "-", "other" for one that is not known. */
struct slice agent_family(struct slice agent);
