/* profile/profile_names.h: addresses of a process as the places of a profile, with what a symbolizer says of them. */
#pragma once

#include "profile/profile.h"
#include "stack/symbolizer.h"

/* A location of the profile for the address; is_return as symbolizer_find() has it. */
uint32_t profile_locate(struct profile *p, struct symbolizer *s, uint64_t pc, bool is_return);
/* The program's own mapping, before any other: readers take the first for the program. */
void profile_add_program(struct profile *p, struct symbolizer *s);
