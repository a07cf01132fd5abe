/* logs/period_state.h: a period as bytes, for checkpoints: what is 0 or empty costs next to nothing. One thread. */
#pragma once

#include "logs/period.h"
#include "logs/state_bytes.h"

void period_save(const struct period *p, struct state_out *out);
/* Into an empty period; what went wrong is in `in`. Without `has_error_paths` it was saved before errors were counted by
 * path: then all of them are missing there. */
void period_load(struct period *p, bool has_error_paths, struct state_in *in);
