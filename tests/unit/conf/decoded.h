/* What a few lines of a configuration come to, for the tests of what is decoded. */
#pragma once

#include "conf/decode.h"

/* Decodes `yaml` as `type` into `object`, with memory of `arena`. NULL, or the faults (brief, a line each), for free(). */
char *decode_yaml(const char *yaml, const struct conf_type *type, void *object, struct conf_arena *arena);
