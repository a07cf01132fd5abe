#include "discovery/freshness.h"

/* 1 s, 2 s, 4 s, 8 s, and then 10 s each. */
static uint64_t retry_ms(uint32_t failures)
{
    uint64_t ms = failures < 5 ? (uint64_t)FRESHNESS_RETRY_MIN_MS << (failures - 1) : FRESHNESS_RETRY_MAX_MS;
    return ms < FRESHNESS_RETRY_MAX_MS ? ms : FRESHNESS_RETRY_MAX_MS;
}

static enum freshness_verdict take(struct freshness *f, uint64_t now_ms)
{
    *f = (struct freshness){ .has_answered = true, .has_found = true, .good_ms = now_ms };
    return FRESHNESS_TAKE;
}

enum freshness_verdict freshness_judge(struct freshness *f, enum source_result result, uint64_t holds_ms,
                                       uint64_t empty_after_ms, uint64_t now_ms, uint64_t *next_ms)
{
    *next_ms = holds_ms;
    if (result == SOURCE_FOUND) return take(f, now_ms);
    f->has_answered = true;
    f->failures++;
    if (!f->stale_since_ms) f->stale_since_ms = now_ms;
    if (!f->doubtful_since_ms) f->doubtful_since_ms = now_ms;
    *next_ms = retry_ms(f->failures);
    if (result == SOURCE_FAILED) return FRESHNESS_KEEP;
    if (!f->empty_since_ms) f->empty_since_ms = now_ms;
    uint64_t since_ms = now_ms - f->empty_since_ms;
    if (since_ms >= empty_after_ms) {
        f->has_found = false;
        f->doubtful_since_ms = 0;
        return FRESHNESS_DROP;
    }
    if (empty_after_ms - since_ms < *next_ms) *next_ms = empty_after_ms - since_ms;
    return FRESHNESS_KEEP;
}
