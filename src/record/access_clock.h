/* record/access_clock.h: times as text, made anew only when the second changes, and what never changes at all.
 * One a worker; takes no lock. */
#pragma once

#include <stdint.h>

struct access_clock {
    uint64_t second;
    int32_t offset_s; /* local time minus UTC */
    uint8_t local_len, iso8601_len, utc_len;
    char local[32], iso8601[32], utc[32];
    char hostname[65], pid[12];
};

void access_clock_init(struct access_clock *clock);
void access_clock_set(struct access_clock *clock, uint64_t wall_ns, int32_t offset_s);
