#include "pool/server_past.h"

#include <stdio.h>

#include "balance/peak.h"
#include "base/clock.h"
#include "pool/server.h"

static uint64_t age(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms > then_ms ? now_ms - then_ms : 0;
}

/* An age that is larger than the clock is as old as can be. */
static uint64_t before(uint64_t now_ms, uint64_t age_ms)
{
    return now_ms > age_ms ? now_ms - age_ms : 0;
}

static uint64_t at_most(uint64_t value, uint64_t most)
{
    return value < most ? value : most;
}

static uint32_t small(uint64_t value)
{
    return (uint32_t)at_most(value, UINT32_MAX);
}

bool server_past_of(const struct server *s, uint64_t now_ms, struct server_past *out)
{
    const struct server_state *st = &s->state;
    const struct balance_peer *p = &s->peer;
    *out = (struct server_past){
        .health = (enum server_health)atomic_load(&s->health),
        .reason = st->reason,
        .since_ms = st->since_ms ? age(st->since_ms, now_ms) : 0,
        .ejected_left_ms = age(now_ms, st->ejected_until_ms),
        .eject_ms = st->eject_ms,
        .back_ms = age(st->back_since_ms, now_ms),
        .warm_ms = age(st->warm_since_ms, now_ms),
        .failures = st->failures,
        .checks_passed = st->checks_passed,
        .checks_failed = st->checks_failed,
        .is_readmitted = st->is_readmitted,
        .is_on_trial = st->is_on_trial,
        .latency_us = atomic_load_explicit(&p->latency_us, memory_order_relaxed),
        .failing = atomic_load_explicit(&p->failing, memory_order_relaxed),
    };
    if (out->latency_us)
        out->latency_age_ms = age(atomic_load_explicit(&p->latency_at_ns, memory_order_relaxed) / NS_PER_MS,
                                  now_ms);
    if (out->failing)
        out->failing_age_ms = age(atomic_load_explicit(&p->failing_at_ns, memory_order_relaxed) / NS_PER_MS,
                                  now_ms);
    snprintf(out->words, sizeof(out->words), "%s", st->words);
    return st->reason != SERVER_BY_START || st->failures || out->latency_us;
}

/* What it may begin with by its configuration: SERVER_UNKNOWN is nothing. */
static enum server_health fit(const struct server *s, const struct server_past *past, bool is_checked)
{
    bool may_be_out = s->ejection.is_enabled || past->reason == SERVER_BY_SEEN_FAILING;
    switch (past->health) {
    case SERVER_DOWN: return is_checked ? SERVER_DOWN : SERVER_UNKNOWN;
    case SERVER_EJECTED: return may_be_out && past->ejected_left_ms ? SERVER_EJECTED : SERVER_UNKNOWN;
    case SERVER_WARMING: return s->warmup_ms ? SERVER_WARMING : SERVER_UP;
    case SERVER_UP:
    case SERVER_UNKNOWN: break;
    }
    return past->health;
}

static void resume_latency(struct balance_peer *p, const struct server_past *past, uint64_t now_ms)
{
    uint64_t latency_at_ms = before(now_ms, past->latency_age_ms),
             failing_at_ms = before(now_ms, past->failing_age_ms);
    atomic_store_explicit(&p->latency_at_ns, latency_at_ms * NS_PER_MS, memory_order_relaxed);
    atomic_store_explicit(&p->latency_us, (uint32_t)at_most(past->latency_us, PEAK_MAX_US),
                          memory_order_relaxed);
    atomic_store_explicit(&p->failing_at_ns, failing_at_ms * NS_PER_MS, memory_order_relaxed);
    atomic_store_explicit(&p->failing, (uint32_t)at_most(past->failing, PEAK_FAILING_MAX),
                          memory_order_relaxed);
}

bool server_past_resume(struct server *s, const struct server_past *past, bool is_checked, uint64_t now_ms)
{
    struct server_state *st = &s->state;
    bool is_known = atomic_load(&s->health) != SERVER_UNKNOWN || st->reason != SERVER_BY_START ||
                    st->failures;
    enum server_health health = fit(s, past, is_checked);
    if (is_known) return false;
    resume_latency(&s->peer, past, now_ms);
    st->failures = small(past->failures);
    if (s->ejection.connect_failures) /* one more ejects it, as it would have */
        st->failures = (uint32_t)at_most(st->failures, s->ejection.connect_failures - 1);
    atomic_store(&s->has_failed, st->failures > 0);
    st->eject_ms = at_most(past->eject_ms, s->ejection.max_ms);
    st->back_since_ms = before(now_ms, past->back_ms);
    st->is_readmitted = past->is_readmitted;
    st->is_on_trial = past->is_on_trial;
    if (is_checked) {
        st->checks_passed = small(past->checks_passed);
        st->checks_failed = small(past->checks_failed);
    }
    if (health == SERVER_UNKNOWN) return true;
    if (health == SERVER_EJECTED)
        st->ejected_until_ms = now_ms + at_most(past->ejected_left_ms, s->ejection.max_ms);
    if (health == SERVER_WARMING) st->warm_since_ms = before(now_ms, past->warm_ms);
    server_set_health(s, health, past->reason, past->words, before(now_ms, past->since_ms));
    (void)server_warm_up(s, now_ms);
    return true;
}
