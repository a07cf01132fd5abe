#include "balance/peak.h"

#include "base/bug.h"

static void note_latency(struct balance_peer *p, const struct balance_outcome *outcome, double per_half_life)
{
    uint32_t known_us = atomic_load_explicit(&p->latency_us, memory_order_relaxed);
    uint64_t sample_us = outcome->latency_ns / 1000;
    if (bug_if(BALANCE, known_us > PEAK_MAX_US)) known_us = PEAK_MAX_US; /* it would be out for long */
    if (sample_us < 1) sample_us = 1;
    if (sample_us > PEAK_MAX_US) sample_us = PEAK_MAX_US;
    if (outcome->is_error) {
        /* A slow failure is slow, a quick one says nothing of answers. */
        if (known_us && sample_us <= known_us) return;
        if (sample_us < PEAK_ERROR_MIN_US) sample_us = PEAK_ERROR_MIN_US;
    } else if (sample_us < known_us) {
        /* One slow answer keeps a server out, and no more answers come that could correct it: what stood
         * unconfirmed for a half-life is worth nothing against a quicker one. */
        uint64_t age_ns = peak_age_ns(&p->latency_at_ns, outcome->now_ns);
        double kept = (double)age_ns * per_half_life < 1 ? peak_decay(age_ns, per_half_life) : 0;
        sample_us = (uint64_t)(known_us * kept + (double)sample_us * (1 - kept) + 0.5);
    }
    atomic_store_explicit(&p->latency_us, (uint32_t)sample_us, memory_order_relaxed);
    atomic_store_explicit(&p->latency_at_ns, outcome->now_ns, memory_order_relaxed);
}

/* Doubling what was last known, and not what is left of it, keeps away longer each time from a server that fails
 * whenever it is tried; where there are successes in between, little time has passed since. */
static void note_failing(struct balance_peer *p, const struct balance_outcome *outcome, double per_half_life)
{
    uint32_t known = atomic_load_explicit(&p->failing, memory_order_relaxed);
    if (bug_if(BALANCE, known > PEAK_FAILING_MAX)) known = PEAK_FAILING_MAX;
    if (!outcome->is_error && known <= PEAK_FAILING) return; /* the usual case: nothing to write */
    if (known < PEAK_FAILING) known = PEAK_FAILING;
    if (outcome->is_error)
        known = known < PEAK_FAILING_MAX / 2 ? known * 2 : PEAK_FAILING_MAX;
    else
        known = (uint32_t)(peak_failing(p, outcome->now_ns, per_half_life) * PEAK_FAILING *
                           PEAK_SUCCESS_KEEPS);
    atomic_store_explicit(&p->failing, known, memory_order_relaxed);
    atomic_store_explicit(&p->failing_at_ns, outcome->now_ns, memory_order_relaxed);
}

void peak_observe(struct balance_peer *p, const struct balance_outcome *outcome, double per_half_life)
{
    note_latency(p, outcome, per_half_life);
    note_failing(p, outcome, per_half_life);
}
