/* proxy/rate_table.h: the accounts of one rate limit: for each key the time at which it will have used up nothing any more
 * (the "theoretical arrival time" of GCRA, the generic cell rate algorithm). Shared by all workers, made of atomics, fixed in
 * size: what one worker lets pass the next one sees, so the rate is that of the process, not of each worker.
 *
 * A key is 64 bits of a seeded hash: nobody can choose keys that fall together. It lies in a bucket of 7. Where a new one
 * finds its bucket full, the account that has used least gives way. If that is one that has used nothing (it is as if it had
 * never come), nothing is lost. Else it is forgotten, and begins anew when it comes again: whoever floods the table with
 * ever new keys gains what a new key has anyway, a burst for each; those at their limit have used most and stay longest; and
 * nobody is refused for what others did. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct rate_table;

struct rate_rule {
    uint64_t interval_ns; /* from one to the next */
    uint64_t burst_ns;    /* how far ahead of that one may be: interval times (burst - 1) */
    uint64_t delay_ns;    /* how long one may be held back; 0: refused instead */
};

struct rate_verdict {
    bool passes;
    bool has_forgotten; /* another account gave way that had used something */
    uint64_t wait_ns;  /* passes: it is to be held back for so long; else: until when it would pass at once */
    uint64_t reset_ns; /* until the account has used nothing */
    uint64_t remaining; /* how many more would pass now */
};

/* For about so many keys at a time. Pages that are not touched cost nothing. NULL: out of memory. */
struct rate_table *rate_table_new(uint32_t keys);
void rate_table_free(struct rate_table *t); /* NULL is fine */

/* `salt` sets kinds of keys apart. */
uint64_t rate_table_key(const struct rate_table *t, struct slice key, uint64_t salt);
/* One more by that key, at now_ns of a clock that all callers share; one that does not pass is not counted. Any thread. */
void rate_table_take(struct rate_table *t, uint64_t key, const struct rate_rule *rule, uint64_t now_ns,
                     struct rate_verdict *out);
/* What would be said to one more; nothing is counted. Any thread. */
void rate_table_look(const struct rate_table *t, uint64_t key, const struct rate_rule *rule, uint64_t now_ns,
                     struct rate_verdict *out);
