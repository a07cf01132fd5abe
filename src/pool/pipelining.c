#include "pool/pipelining.h"

#include <string.h>

#include "net/loop.h"

/* The third longest of them is longer than 99 of a hundred. */
#define WINDOW 250u
#define OFF_MS 30000u
/* A server that ends connections sooner has nothing to gain from pipelining. */
#define CLOSES_AFTER_MIN 16u

static uint32_t step_of(uint64_t took_ns)
{
    uint64_t ms = took_ns / NS_PER_MS;
    if (ms < 2) return 0;
    uint32_t doublings = 63u - (uint32_t)__builtin_clzll(ms);
    uint32_t step = 2 * doublings + ((ms >> (doublings - 1)) & 1);
    return step < PIPELINING_STEPS ? step : PIPELINING_STEPS - 1;
}

/* Where a step begins, in half milliseconds. */
static uint64_t begin_of(uint32_t step)
{
    return (uint64_t)(2 + step % 2) << (step / 2);
}

/* The step of the one that `longer` are longer than, or as long as. */
static uint32_t step_at(const struct pipelining *p, uint32_t longer)
{
    uint32_t step = PIPELINING_STEPS, seen = 0;
    while (step && seen < longer) seen += p->counts[--step];
    return step;
}

void pipelining_note(struct pipelining *p, uint64_t took_ns, uint32_t spread)
{
    p->counts[step_of(took_ns)]++;
    if (++p->samples < WINDOW) return;
    uint64_t median = begin_of(step_at(p, WINDOW / 2)), slowest = begin_of(step_at(p, WINDOW / 100 + 1));
    p->is_uneven = slowest > median * spread;
    memset(p->counts, 0, sizeof(p->counts));
    p->samples = 0;
}

void pipelining_lose(struct pipelining *p, enum h1_pipeline_loss why, uint32_t lost, uint32_t leases,
                     uint64_t now_ms)
{
    uint32_t answered = leases - lost;
    if (why == H1_PIPELINE_CLOSED && answered >= CLOSES_AFTER_MIN)
        p->closes_after = answered;
    else if (why == H1_PIPELINE_CLOSED || lost)
        p->off_until_ms = now_ms + OFF_MS;
}

void pipelining_outlive(struct pipelining *p, uint32_t leases)
{
    if (p->closes_after && leases > p->closes_after) p->closes_after = 0;
}

uint32_t pipelining_depth(const struct pipelining *p, uint32_t depth, uint32_t leases, uint64_t now_ms)
{
    bool is_on = !p->is_uneven && now_ms >= p->off_until_ms && (!p->closes_after || leases < p->closes_after);
    return is_on ? depth : 1;
}
