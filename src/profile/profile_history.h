/* profile/profile_history.h: profiles of the last hour, so that one can look at what has been: stacks as packed text, a profile
 * each ten seconds, within bounds of number and bytes; the oldest goes. Any thread. */
#pragma once

#include "base/err.h"
#include "profile/profile.h"

#define PROFILE_HISTORY_COUNT 360u
#define PROFILE_HISTORY_BYTES (16u << 20)

struct profile_history;

/* NULL: out of memory. */
struct profile_history *profile_history_new(void);
void profile_history_free(struct profile_history *h); /* NULL is fine */
/* Keeps the second value of the profile's stacks; what finds no room at all is counted. */
void profile_history_add(struct profile_history *h, const struct profile *p);
/* All that began from `from_ns` until before `to_ns` (since 1970), added up; the caller frees it. -1: there is none of that
 * time; the sentence says what there is. */
MUST_CHECK int profile_history_load(struct profile_history *h, uint64_t from_ns, uint64_t to_ns,
                                    struct profile **out, struct err *err);
