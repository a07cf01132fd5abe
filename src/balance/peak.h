/* balance/peak.h: the latency to expect of a server: a moving average that a worse sample replaces at once
 * (peak EWMA, as in Twitter's Finagle and in Linkerd), times a factor for failures. Both live in the server's shared
 * line. Workers read and write them without a lock, so a sample may get lost or be weighed by another's time:
 * harmless, as the next one comes. */
#pragma once

#include "balance/balance.h"

#define PEAK_HALF_LIFE_MS 10000u /* by default */
/* A refused connection is fast, and must not look like a fast server: who has not answered yet takes as long at
 * least. */
#define PEAK_ERROR_MIN_US 10000u
#define PEAK_MAX_US 60000000u /* of any sample */

/* Failures are counted apart from latency, lest one in a thousand is taken for a server that is slow all the time.
 * Each doubles the factor, each success takes a fiftieth off it, and half is forgotten in a half-life: who always
 * fails is tried less and less often, who fails once in a hundred times has most of its share. */
#define PEAK_FAILING (1u << 10)     /* a factor of 1 */
#define PEAK_FAILING_MAX (1u << 26) /* of 65,536 */
#define PEAK_SUCCESS_KEEPS 0.98

struct peak_conf {
    uint64_t half_life_ms;
};

struct peak_estimate {
    double expected_us; /* 0: nothing was measured */
    bool is_void;       /* it stands unconfirmed for a half-life, and no failure speaks against another try */
};

/* 2^-(age / half-life), to one part in 200, and never less than 2^-31. `per_half_life`: one over the
 * half-life in nanoseconds. */
static inline double peak_decay(uint64_t age_ns, double per_half_life)
{
    double halves = (double)age_ns * per_half_life;
    if (halves >= 31) return 0x1p-31;
    uint32_t whole = (uint32_t)halves;
    double part = halves - whole, power;
    uint64_t bits = (uint64_t)(1023 - whole) << 52; /* of 2^-whole */
    memcpy(&power, &bits, sizeof(power));
    return (1 - part * (0.6641 - 0.1641 * part)) * power;
}

/* Another worker's clock may be a little ahead. */
static inline uint64_t peak_age_of(uint64_t then_ns, uint64_t now_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

static inline uint64_t peak_age_ns(const _Atomic uint64_t *at_ns, uint64_t now_ns)
{
    return peak_age_of(atomic_load_explicit(at_ns, memory_order_relaxed), now_ns);
}

/* What failures multiply the latency by; 1 without any. */
static inline double peak_failing(const struct balance_peer *p, uint64_t now_ns, double per_half_life)
{
    uint32_t failing = atomic_load_explicit(&p->failing, memory_order_relaxed);
    if (failing <= PEAK_FAILING) return 1;
    double left = failing * peak_decay(peak_age_ns(&p->failing_at_ns, now_ns), per_half_life) / PEAK_FAILING;
    return left > 1 ? left : 1;
}

/* Less and less of what was measured, so that a server that is avoided gets another try; of one that fails its
 * failures are forgotten first. */
static inline struct peak_estimate peak_estimate(const struct balance_peer *p, uint64_t now_ns,
                                                 double per_half_life)
{
    double measured_us = atomic_load_explicit(&p->latency_us, memory_order_relaxed);
    uint64_t age_ns = peak_age_ns(&p->latency_at_ns, now_ns);
    double failing = peak_failing(p, now_ns, per_half_life);
    double factor = failing > 1 ? failing : peak_decay(age_ns, per_half_life);
    return (struct peak_estimate){ measured_us * factor,
                                   (double)age_ns * per_half_life >= 1 && failing <= 1 };
}

void peak_observe(struct balance_peer *p, const struct balance_outcome *outcome, double per_half_life);
