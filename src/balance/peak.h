/* balance/peak.h: the latency to expect of a server: a moving average that a worse sample replaces at once
 * (peak EWMA, as in Twitter's Finagle and in Linkerd). It lives in the server's shared line. Workers read
 * and write it without a lock, so a sample may get lost or be weighed by another's time: harmless, as the
 * next one comes. */
#pragma once

#include "balance/balance.h"

#define PEAK_HALF_LIFE_MS 10000u /* by default */
/* A failure counts as a sample of twice the estimate, or of what it took if that is more, within these
 * bounds. */
#define PEAK_ERROR_MIN_US 10000u
#define PEAK_MAX_US 60000000u /* of any sample */

struct peak_conf {
    uint64_t half_life_ms;
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

/* In microseconds; less and less of what was measured, so that a server that is avoided gets another try. 0
 * if nothing was measured. */
static inline double peak_expected_us(const struct balance_peer *p, uint64_t now_ns, double per_half_life)
{
    uint32_t measured_us = atomic_load_explicit(&p->latency_us, memory_order_relaxed);
    uint64_t at_ns = atomic_load_explicit(&p->latency_at_ns, memory_order_relaxed);
    return measured_us * peak_decay(now_ns > at_ns ? now_ns - at_ns : 0, per_half_life);
}

void peak_observe(struct balance_peer *p, const struct balance_outcome *outcome, double per_half_life);
