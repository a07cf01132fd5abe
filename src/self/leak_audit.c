#include "self/leak_audit.h"

#include <math.h>

const char *const leak_kind_names[] = {
    [LEAK_EXCHANGES] = "exchanges",
    [LEAK_TUNNELS] = "tunnels",
    [LEAK_CLIENT_CONNECTIONS] = "client_connections",
    [LEAK_SERVER_CONNECTIONS] = "server_connections",
    [LEAK_BLOCKS] = "blocks",
    [LEAK_TIMERS] = "timers",
    [LEAK_DESCRIPTORS] = "descriptors",
    [LEAK_HEAP] = "heap_bytes",
};

static const struct leak_sample *sample_at(const struct leak_audit *a, uint32_t i)
{
    return &a->samples[(a->first + i) % LEAK_AUDIT_SAMPLES];
}

void leak_audit_add(struct leak_audit *a, const struct leak_sample *s)
{
    if (a->count == LEAK_AUDIT_SAMPLES) {
        a->samples[a->first] = *s;
        a->first = (a->first + 1) % LEAK_AUDIT_SAMPLES;
    } else {
        a->samples[(a->first + a->count++) % LEAK_AUDIT_SAMPLES] = *s;
    }
}

/* Lost at the last two walks: one alone may be between two states of something that is new. */
static void judge_walked(const struct leak_audit *a, unsigned kind, struct leak_finding *out)
{
    double lost[2] = { NAN, NAN };
    uint32_t found = 0;
    for (uint32_t i = a->count; i && found < 2; i--)
        if (sample_at(a, i - 1)->is_walked) lost[found++] = sample_at(a, i - 1)->lost[kind];
    out->lost = lost[0];
    out->is_leak = found == 2 && lost[0] > 0 && lost[1] > 0;
}

static void judge_growth(const struct leak_audit *a, unsigned kind, double rise_min, struct leak_finding *out)
{
    struct growth_point points[LEAK_AUDIT_SAMPLES];
    const struct growth_options o = { .p_max = GROWTH_P_MAX, .rise_min = rise_min };
    for (uint32_t i = 0; i < a->count; i++) {
        const struct leak_sample *s = sample_at(a, i);
        points[i] = (struct growth_point){ s->time_s, s->live[kind], s->load };
    }
    growth_judge(points, a->count, &o, &out->growth);
}

void leak_audit_judge(const struct leak_audit *a, const struct leak_options *o,
                      struct leak_finding out[LEAK_KINDS])
{
    for (unsigned kind = 0; kind < LEAK_KINDS; kind++) {
        struct leak_finding *f = &out[kind];
        double rise_min = kind == LEAK_DESCRIPTORS ? o->descriptors_rise_min
                          : kind == LEAK_HEAP      ? o->heap_rise_min
                                                   : 0;
        *f = (struct leak_finding){ .live = NAN, .lost = NAN };
        if (!a->count) continue;
        f->live = sample_at(a, a->count - 1)->live[kind];
        judge_growth(a, kind, rise_min, f);
        if (kind < LEAK_WALKED)
            judge_walked(a, kind, f);
        else
            f->is_leak = f->growth.verdict == GROWTH_LEAK;
    }
}
