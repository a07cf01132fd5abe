#include "health/outlier.h"

#include <math.h>
#include <stdlib.h>

#define ONE_IN_A_MILLION 13.8 /* -ln(1e-6) */
#define RUN_ON_TRIAL 2
/* Less than that nobody feels, however many times the others' it is. */
#define LATENCY_LEAST_US 5000

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double share_of(const struct outlier_peer *p)
{
    return p->faults < p->attempts ? p->faults / p->attempts : 1;
}

static bool has_share(const struct outlier_peer *p)
{
    return p->is_in && p->attempts >= 1;
}

static double wait_of(const struct outlier_peer *p)
{
    return p->waits / p->answers;
}

static bool has_wait(const struct outlier_peer *p)
{
    return p->is_in && p->answers >= 1;
}

void outlier_look(struct outlier_look *l, const struct ejection_conf *conf, const struct outlier_peer *peers,
                  uint32_t count, double *room)
{
    *l = (struct outlier_look){ .conf = conf, .peers = peers, .shares = room, .waits = room + count };
    for (uint32_t i = 0; i < count; i++) {
        if (!peers[i].is_in) continue;
        l->attempts += peers[i].attempts;
        l->faults += peers[i].faults;
        if (has_share(&peers[i])) l->shares[l->share_count++] = share_of(&peers[i]);
        if (has_wait(&peers[i])) l->waits[l->wait_count++] = wait_of(&peers[i]);
    }
    if (l->share_count) qsort(l->shares, l->share_count, sizeof(*l->shares), compare);
    if (l->wait_count) qsort(l->waits, l->wait_count, sizeof(*l->waits), compare);
}

/* Of all others together; where little is known, nearer to one half (Laplace's rule of succession). */
static double others_share(const struct outlier_look *l, const struct outlier_peer *p)
{
    double attempts = fmax(0, l->attempts - p->attempts), faults = fmax(0, l->faults - p->faults);
    return fmin(1, (faults + 1) / (attempts + 2));
}

/* How many on end are more than chance would bring. */
static double run_needed(const struct outlier_peer *p, uint32_t on_end, double others)
{
    if (p->is_on_trial && others < 0.5) return on_end < RUN_ON_TRIAL ? on_end : RUN_ON_TRIAL;
    if (others >= 1) return INFINITY;
    return fmax(on_end, ceil(ONE_IN_A_MILLION / -log(others)));
}

/* Of `count` values, the least first, of which `own` is one; the upper one, where there are two. `alone` if there are no others. */
static double others_median(const double *values, uint32_t count, double own, double alone)
{
    uint32_t others = count - 1, at = others / 2, rank = 0;
    if (!others) return alone;
    while (rank < count && values[rank] < own && rank <= at) rank++;
    return values[at < rank ? at : at + 1];
}

static bool find_run(const struct outlier_look *l, const struct outlier_peer *p, struct outlier_finding *out)
{
    const struct ejection_conf *c = l->conf;
    const struct {
        enum outlier_kind kind;
        enum fault_run run;
        uint32_t on_end;
    } rules[] = { { OUTLIER_TIMEOUTS, RUN_TIMEOUTS, c->timeouts },
                  { OUTLIER_GATEWAY, RUN_GATEWAY, c->gateway_errors },
                  { OUTLIER_ERRORS, RUN_ERRORS, c->server_errors } };
    for (unsigned i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
        uint32_t run = p->runs[rules[i].run];
        if (!rules[i].on_end || !run || (run < rules[i].on_end && !p->is_on_trial)) continue;
        double others = others_share(l, p);
        if (run < run_needed(p, rules[i].on_end, others)) continue;
        *out = (struct outlier_finding){ rules[i].kind, run, 1, others };
        return true;
    }
    return false;
}

static bool find_share(const struct outlier_look *l, const struct outlier_peer *p,
                       struct outlier_finding *out)
{
    const struct ejection_conf *c = l->conf;
    if (!c->share || p->attempts < c->attempts || !has_share(p)) return false;
    double share = share_of(p);
    if (share * 100 < c->share) return false;
    double others = others_median(l->shares, l->share_count, share, 1);
    if (others * 2 > share) return false;
    *out = (struct outlier_finding){ OUTLIER_SHARE, 0, share, others };
    return true;
}

static bool find_latency(const struct outlier_look *l, const struct outlier_peer *p,
                         struct outlier_finding *out)
{
    const struct ejection_conf *c = l->conf;
    if (!c->latency || p->answers < c->attempts || !has_wait(p)) return false;
    double own = exp2(wait_of(p)),
           others = exp2(others_median(l->waits, l->wait_count, wait_of(p), INFINITY));
    if (own < others * c->latency || own - others < LATENCY_LEAST_US) return false;
    *out = (struct outlier_finding){ OUTLIER_LATENCY, 0, own, others };
    return true;
}

void outlier_find(const struct outlier_look *l, uint32_t index, struct outlier_finding *out)
{
    const struct outlier_peer *p = &l->peers[index];
    *out = (struct outlier_finding){ OUTLIER_NONE, 0, 0, 0 };
    if (!p->is_in || find_run(l, p, out) || find_share(l, p, out)) return;
    (void)find_latency(l, p, out);
}
