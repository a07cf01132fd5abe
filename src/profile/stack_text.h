/* profile/stack_text.h: profiles and threads as text for people, in the manner of Go's debug=1 and debug=2. Pure. */
#pragma once

#include <stdio.h>

#include "profile/profile.h"
#include "profile/threads.h"

/* "goroutine profile: total 12", then each stack with its count, the most frequent first. */
void stack_text_write(const struct profile *p, const char *name, FILE *out);
/* Each thread with its state and calls. */
void stack_text_threads(struct threads *t, FILE *out);
