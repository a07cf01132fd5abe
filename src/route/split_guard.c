#include "route/split_guard.h"

#include <math.h>

#include "base/bug.h"

static const char *const state_names[SPLIT_GUARD_STATES] = { "ramping", "holding", "watching", "rolled_back",
                                                             "paused" };
static const char *const figure_names[SPLIT_FIGURES + 1] = { "errors", "p50", "p95", "p99", "shares" };

const char *split_guard_state_name(enum split_guard_state state)
{
    return state_names[state];
}

bool split_guard_state_by_name(struct slice name, enum split_guard_state *out)
{
    for (unsigned i = 0; i < SPLIT_GUARD_STATES; i++) {
        if (!slice_equal(name, slice_of(state_names[i]))) continue;
        *out = (enum split_guard_state)i;
        return true;
    }
    return false;
}

const char *split_figure_name(enum split_figure figure)
{
    return figure_names[figure];
}

/* words */

static void print_number(struct text *out, double value, const char *unit)
{
    if (isfinite(value))
        text_printf(out, "%.2f%s", value, unit);
    else
        TEXT_LITERAL(out, "?");
}

void split_guard_cause_print(const struct split_guard_cause *c, const char *variant, const char *first,
                             struct text *out)
{
    if (!c->requests) return;
    if (c->figure == SPLIT_FIGURES) {
        text_printf(
            out,
            "the shares of %s and the others are not those of the weights, so that they cannot be compared",
            variant);
        return;
    }
    bool is_errors = c->figure == SPLIT_ERRORS;
    double scale = is_errors ? 100 : 0.001;
    if (is_errors)
        text_printf(out, "the error share of %s is ", variant);
    else
        text_printf(out, "%s of %s is ", figure_names[c->figure], variant);
    print_number(out, c->seen.difference * scale, is_errors ? " points larger" : " ms longer");
    text_printf(out, " than of %s (", first);
    print_number(out, c->seen.interval.low * scale, "");
    TEXT_LITERAL(out, " to ");
    print_number(out, c->seen.interval.high * scale, "");
    TEXT_LITERAL(out, "); allowed: ");
    print_number(out, c->allowed * scale, is_errors ? " points" : " ms");
}

/* beginning */

/* The next step above the weight; 0: there is none. */
static uint32_t next_weight(const struct split_guard_conf *conf, uint32_t weight)
{
    const uint32_t *steps = conf->ramp.data;
    for (uint32_t i = 0; i < conf->ramp.count; i++)
        if (steps[i] > weight) return steps[i];
    return 0;
}

static enum split_guard_state state_at(const struct split_guard_conf *conf, uint32_t weight)
{
    return next_weight(conf, weight) ? SPLIT_GUARD_RAMPING : SPLIT_GUARD_WATCHING;
}

static void forget_cause(struct split_guard *g)
{
    g->cause = (struct split_guard_cause){ 0 };
    *g->why = 0;
}

static void count_anew(struct split_guard *g, const struct split_guard_conf *conf, uint64_t now_ms)
{
    g->state = state_at(conf, g->weight);
    g->since_ms = now_ms;
    g->is_settling = true;
    forget_cause(g);
}

void split_guard_begin(struct split_guard *g, const struct split_guard_conf *conf, uint32_t weight,
                       uint64_t now_ms)
{
    *g = (struct split_guard){ .is_begun = true, .variant = conf->index, .weight = weight };
    count_anew(g, conf, now_ms);
    g->is_settling = false; /* there are no other weights that anything was dealt by */
}

void split_guard_pause(struct split_guard *g, uint32_t weight, uint64_t now_ms)
{
    g->state = SPLIT_GUARD_PAUSED;
    g->is_settling = g->weight != weight;
    g->weight = weight;
    g->since_ms = now_ms;
    forget_cause(g);
}

void split_guard_resume(struct split_guard *g, const struct split_guard_conf *conf, uint32_t weight,
                        uint64_t now_ms)
{
    if (!g->weight) g->weight = weight;
    count_anew(g, conf, now_ms);
}

void split_guard_take_back(struct split_guard *g, uint64_t now_ms)
{
    split_guard_pause(g, 0, now_ms);
    g->state = SPLIT_GUARD_BACK;
}

void split_guard_restore(struct split_guard *g, const struct split_guard_conf *conf,
                         enum split_guard_state state, uint32_t weight, uint64_t now_ms)
{
    split_guard_begin(g, conf, weight, now_ms);
    if (state == SPLIT_GUARD_BACK)
        split_guard_take_back(g, now_ms);
    else if (state == SPLIT_GUARD_PAUSED)
        split_guard_pause(g, weight, now_ms);
    g->is_settling = false;
}

/* looking */

static uint64_t settle_ms(const struct split_guard_conf *conf)
{
    return conf->step_ms / 10 < SPLIT_GUARD_SETTLE_MS ? conf->step_ms / 10 : SPLIT_GUARD_SETTLE_MS;
}

static bool is_looking(const struct split_guard *g)
{
    return g->state != SPLIT_GUARD_BACK && g->state != SPLIT_GUARD_PAUSED;
}

bool split_guard_wants(const struct split_guard *g, uint64_t now_ms)
{
    return is_looking(g) && !g->is_settling && g->weight && now_ms > g->since_ms;
}

unsigned split_guard_figures(const struct split_guard_conf *conf)
{
    unsigned figures = conf->errors == SPLIT_ALLOWS_ANY ? 0 : 1u << SPLIT_ERRORS;
    for (uint32_t i = 0; i < SPLIT_QUANTILES; i++)
        if (conf->quantile_ms[i] != UINT64_MAX) figures |= 1u << (SPLIT_OF_P50 + i);
    return figures;
}

/* Each figure on each step is another chance to be wrong: they share what may be (C. E. Bonferroni). */
double split_guard_alpha(const struct split_guard_conf *conf)
{
    int figures = __builtin_popcount(split_guard_figures(conf));
    if (bug_if(SPLIT, !figures)) return SPLIT_GUARD_ALPHA;
    return SPLIT_GUARD_ALPHA / (figures * (conf->ramp.count + 1.0));
}

static double allowed_of(const struct split_guard_conf *conf, enum split_figure figure)
{
    if (figure == SPLIT_ERRORS) return (double)conf->errors / SPLIT_PLACES;
    return (double)conf->quantile_ms[figure - SPLIT_OF_P50] * 1000;
}

/* The first figure that is worse than allowed: certainly so, or half way to that, which is some two standard deviations. */
static bool find_worse(const struct split_guard_conf *conf, const struct split_contrast *seen,
                       bool is_certain, struct split_guard_cause *out)
{
    unsigned figures = split_guard_figures(conf);
    for (unsigned i = 0; i < SPLIT_FIGURES; i++) {
        const struct statistic_shift *s = &seen->figures[i];
        double allowed = allowed_of(conf, (enum split_figure)i);
        double least = is_certain ? s->interval.low : (s->difference + s->interval.low) / 2;
        if (!(figures & 1u << i) || !(least > allowed)) continue;
        *out = (struct split_guard_cause){ (enum split_figure)i, *s, allowed, seen->requests };
        return true;
    }
    return false;
}

static enum split_guard_move take_step(struct split_guard *g, const struct split_guard_conf *conf,
                                       uint64_t now_ms)
{
    g->weight = next_weight(conf, g->weight);
    count_anew(g, conf, now_ms);
    return SPLIT_GUARD_STEP;
}

static enum split_guard_move hold(struct split_guard *g, const struct split_guard_cause *cause)
{
    bool is_new = g->state != SPLIT_GUARD_HOLDING;
    g->state = SPLIT_GUARD_HOLDING;
    g->cause = *cause;
    return is_new ? SPLIT_GUARD_HOLD : SPLIT_GUARD_STAY;
}

static enum split_guard_move roll_back(struct split_guard *g, const struct split_guard_cause *cause,
                                       uint64_t now_ms)
{
    split_guard_take_back(g, now_ms);
    g->cause = *cause;
    return SPLIT_GUARD_ROLLBACK;
}

/* The step has had its time and its requests. */
static bool is_due(const struct split_guard *g, const struct split_guard_conf *conf,
                   const struct split_contrast *seen, uint64_t now_ms)
{
    return next_weight(conf, g->weight) && now_ms - g->since_ms >= conf->step_ms &&
           seen->requests >= conf->step_requests;
}

enum split_guard_move split_guard_look(struct split_guard *g, const struct split_guard_conf *conf,
                                       const struct split_contrast *seen, uint64_t now_ms)
{
    struct split_guard_cause cause;
    if (g->is_settling && now_ms - g->since_ms >= settle_ms(conf)) {
        g->is_settling = false;
        g->since_ms = now_ms;
        return SPLIT_GUARD_COUNT;
    }
    if (!is_looking(g) || g->is_settling) return SPLIT_GUARD_STAY;
    if (g->state != SPLIT_GUARD_HOLDING)
        g->state = state_at(conf, g->weight); /* the ramp may be another than before */
    /* Where it has no units there is nothing to wait for. */
    if (!g->weight) return next_weight(conf, 0) ? take_step(g, conf, now_ms) : SPLIT_GUARD_STAY;
    if (!seen) return SPLIT_GUARD_STAY;
    if (find_worse(conf, seen, true, &cause)) return roll_back(g, &cause, now_ms);
    if (seen->is_alarm) {
        cause = (struct split_guard_cause){ .figure = SPLIT_FIGURES, .requests = seen->requests };
        return hold(g, &cause);
    }
    bool was_held = g->state == SPLIT_GUARD_HOLDING, has_next = next_weight(conf, g->weight) != 0;
    if (!is_due(g, conf, seen, now_ms) && !was_held) return SPLIT_GUARD_STAY;
    if (has_next && find_worse(conf, seen, false, &cause)) return hold(g, &cause);
    if (is_due(g, conf, seen, now_ms)) return take_step(g, conf, now_ms);
    g->state = state_at(conf, g->weight);
    forget_cause(g);
    return SPLIT_GUARD_RELEASE;
}
