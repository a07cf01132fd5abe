/* conf/compare.h: whether two decoded objects say the same, by their rows, secrets too. Pure; any thread. */
#pragma once

#include "conf/field.h"

/* Bit i: row i differs. Maps say the same in any order; lists, also those with names, only in the same order. */
uint64_t conf_differing(const struct conf_type *type, const void *a, const void *b);
