/* discovery/freshness.h: what becomes of what is known when an answer comes, or none: the rules alone, without a clock of their
 * own. A good answer holds for its time. Who cannot be asked says nothing: what was known last stays, however long. Who says
 * that there is nobody is believed when he has said so for a while: a zone that is pushed half takes no pool away. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum source_result {
    SOURCE_FOUND,
    SOURCE_EMPTY,  /* the answer is that there is nobody */
    SOURCE_FAILED, /* there is no answer */
    SOURCE_RESULTS
};

/* From one failure to the next question: doubled, within these bounds. */
#define FRESHNESS_RETRY_MIN_MS 1000u
#define FRESHNESS_RETRY_MAX_MS 10000u

/* Zeroed before its first use. Times are of any one clock that is never at 0. */
struct freshness {
    bool has_answered;       /* whatever it was */
    bool has_found;          /* something is known */
    uint64_t good_ms;        /* when that came; 0: it never did */
    uint64_t stale_since_ms; /* since when answers are no good; 0: the latest was */
    uint64_t
        doubtful_since_ms; /* since when what is known may be wrong; 0: it is backed by the latest answer, which may be that
                                   there is nobody, once that is believed */
    uint64_t
        empty_since_ms; /* since when it is said that there is nobody, failures in between aside; 0: it is not */
    uint32_t failures; /* answers on end that were no good, empty ones included */
};

enum freshness_verdict {
    FRESHNESS_TAKE, /* what came is what is known from now on */
    FRESHNESS_KEEP, /* what was known stays */
    FRESHNESS_DROP, /* nothing is known from now on */
};

/* *next_ms: after what time to ask again. A good answer says that itself, by `holds_ms`; 0: its kind will speak of itself when
 * it changes, and then *next_ms is 0. `holds_ms` counts for no other answer. */
enum freshness_verdict freshness_judge(struct freshness *f, enum source_result result, uint64_t holds_ms,
                                       uint64_t empty_after_ms, uint64_t now_ms, uint64_t *next_ms);
