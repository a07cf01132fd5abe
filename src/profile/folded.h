/* profile/folded.h: stacks as text, one a line, the outermost first: "main;run;read 17", as flamegraph.pl, inferno and
 * speedscope read them. Pure. */
#pragma once

#include <stdio.h>

#include "profile/profile.h"

/* Of one type's values; samples whose value is 0 are left out. Control bytes, blanks and semicolons in names become
 * underscores. */
void folded_write(const struct profile *p, uint32_t type, FILE *out);
