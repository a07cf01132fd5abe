#include "balance/peak.h"

/* A refused connection is fast, and must not look like a fast server. Doubling what was last known, and not
 * what is left of it, keeps away longer each time from a server that fails whenever it is tried. */
static uint64_t sample_of(uint32_t known_us, const struct balance_outcome *outcome)
{
    uint64_t sample_us = outcome->latency_ns / 1000;
    if (outcome->is_error) {
        if (sample_us < (uint64_t)known_us * 2) sample_us = (uint64_t)known_us * 2;
        if (sample_us < PEAK_ERROR_MIN_US) sample_us = PEAK_ERROR_MIN_US;
    }
    if (sample_us > PEAK_MAX_US) return PEAK_MAX_US;
    return sample_us ? sample_us : 1;
}

void peak_observe(struct balance_peer *p, const struct balance_outcome *outcome, double per_half_life)
{
    uint32_t known_us = atomic_load_explicit(&p->latency_us, memory_order_relaxed);
    uint64_t at_ns = atomic_load_explicit(&p->latency_at_ns, memory_order_relaxed);
    uint64_t sample_us = sample_of(known_us, outcome);
    if (sample_us < known_us) {
        uint64_t age_ns = outcome->now_ns > at_ns ? outcome->now_ns - at_ns : 0;
        double kept = peak_decay(age_ns, per_half_life);
        sample_us = (uint64_t)(known_us * kept + (double)sample_us * (1 - kept) + 0.5);
    }
    atomic_store_explicit(&p->latency_us, (uint32_t)sample_us, memory_order_relaxed);
    atomic_store_explicit(&p->latency_at_ns, outcome->now_ns, memory_order_relaxed);
}
