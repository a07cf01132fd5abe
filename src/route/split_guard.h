/* route/split_guard.h: the guard of a split: it gives a variant more units step by step, stops while the variant looks worse than
 * allowed, and takes all units from it once that is certain. What is certain is said by intervals that stay valid however often
 * one looks (metric/statistic.h), so that looking all day raises no more false alarms than looking once: one in a hundred guards
 * of variants that do not differ, all its steps and figures together. Pure: whoever has a clock and counts asks it, and does
 * what it says. Control side. */
#pragma once

#include "conf/decode.h"
#include "route/split_report.h"

#define SPLIT_GUARD_STEPS_MAX 16u
#define SPLIT_GUARD_ALPHA 0.01
#define SPLIT_ALLOWS_ANY UINT32_MAX
/* What was under way when weights changed was dealt by the old ones: it is not counted if it ends by then. */
#define SPLIT_GUARD_SETTLE_MS 5000u
#define SPLIT_GUARD_WHY_MAX 400u

struct split_guard_conf {
    const char *variant; /* which is guarded; NULL: the last. Never the first. */
    uint32_t
        errors; /* hundredths of a point of its error share beyond the first's; SPLIT_ALLOWS_ANY: not looked at */
    uint64_t quantile_ms[SPLIT_QUANTILES]; /* how much longer than the first's; UINT64_MAX: not looked at */
    struct conf_items ramp;                /* uint32_t, ascending: weights in hundredths of a percent */
    uint64_t step_ms;
    uint32_t step_requests; /* of the variant */
    uint32_t index;         /* of the variant; by split_guard_check() */
};
extern const struct conf_type split_guard_conf_type;

/* After the whole of a split is read. `variants` are its struct split_variant_conf. */
void split_guard_check(struct conf_decode *d, const struct conf_node *node, struct split_guard_conf *g,
                       const struct conf_items *variants);

enum split_guard_state {
    SPLIT_GUARD_RAMPING, /* there are steps ahead */
    SPLIT_GUARD_HOLDING, /* it looks worse than allowed, or the shares are not the weights': no further for now */
    SPLIT_GUARD_WATCHING, /* the last step, or there are none */
    SPLIT_GUARD_BACK,     /* it was worse, and has no units until somebody says so */
    SPLIT_GUARD_PAUSED,   /* somebody has taken it in hand */
    SPLIT_GUARD_STATES
};
const char *split_guard_state_name(enum split_guard_state state);
bool split_guard_state_by_name(struct slice name, enum split_guard_state *out);

/* By which figure, and what was seen. SPLIT_FIGURES stands for the shares; no requests: by nothing. */
struct split_guard_cause {
    enum split_figure figure;
    struct statistic_shift seen; /* as struct split_contrast */
    double allowed;              /* likewise */
    uint64_t requests;
};
const char *split_figure_name(enum split_figure figure);
/* "p95 of b is 12.1 ms longer than of a (4.2 to 20.3); 5 ms are allowed". Empty if there is no cause. */
void split_guard_cause_print(const struct split_guard_cause *c, const char *variant, const char *first,
                             struct text *out);

/* Zeroed: not begun. */
struct split_guard {
    bool is_begun, is_settling;
    enum split_guard_state state;
    uint32_t variant;               /* index */
    uint32_t weight;                /* that it has now, in hundredths of a percent */
    uint64_t since_ms;              /* of what is counted: of the step, after it has settled */
    struct split_guard_cause cause; /* of holding, or of having gone back */
    char why[SPLIT_GUARD_WHY_MAX];  /* the same in words, by who has the names; also from before a restart */
};

/* `weight`: what the configuration gives the variant. */
void split_guard_begin(struct split_guard *g, const struct split_guard_conf *conf, uint32_t weight,
                       uint64_t now_ms);
/* Somebody's word: takes it in hand with this weight; lets it go on from the weight that it has, or, where that is none, from
 * `weight`, counting anew. */
void split_guard_pause(struct split_guard *g, uint32_t weight, uint64_t now_ms);
void split_guard_resume(struct split_guard *g, const struct split_guard_conf *conf, uint32_t weight,
                        uint64_t now_ms);
void split_guard_take_back(struct split_guard *g, uint64_t now_ms);
/* As it was before a restart; counts begin anew. */
void split_guard_restore(struct split_guard *g, const struct split_guard_conf *conf,
                         enum split_guard_state state, uint32_t weight, uint64_t now_ms);

enum split_guard_move {
    SPLIT_GUARD_STAY,
    SPLIT_GUARD_COUNT, /* it has settled: counts begin now */
    SPLIT_GUARD_STEP,  /* another weight */
    SPLIT_GUARD_HOLD,
    SPLIT_GUARD_RELEASE, /* no longer held */
    SPLIT_GUARD_ROLLBACK /* weight 0 */
};
/* Whether counts are to be looked at now; else split_guard_look() needs none. */
bool split_guard_wants(const struct split_guard *g, uint64_t now_ms);
unsigned split_guard_figures(const struct split_guard_conf *conf); /* for split_contrast_fill() */
double split_guard_alpha(const struct split_guard_conf *conf);     /* likewise */
/* `seen` is of what was counted since g->since_ms; NULL where it is not wanted. */
enum split_guard_move split_guard_look(struct split_guard *g, const struct split_guard_conf *conf,
                                       const struct split_contrast *seen, uint64_t now_ms);
