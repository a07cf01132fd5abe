#include "proxy/split_steering.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

static const struct split_variant_conf *conf_of(const struct split *s, uint32_t variant)
{
    return &((const struct split_variant_conf *)s->conf->variants.data)[variant];
}

struct split_guard *split_guard_of(const struct split *s)
{
    struct split_guard *g = &s->book->guard;
    return s->conf->guard && g->is_begun ? g : NULL;
}

uint32_t split_steer_room(const struct split *s)
{
    return conf_of(s, 0)->weight + conf_of(s, s->conf->guard->index)->weight;
}

/* telling */

static void tell(const struct split *s, enum log_level level, const char *move)
{
    const struct split_guard *g = &s->book->guard;
    char quoted[2][160], why[SPLIT_GUARD_WHY_MAX + 64], weight[32];
    snprintf(weight, sizeof(weight), "%u.%02u", g->weight / 100, g->weight % 100);
    bool has_figure = g->cause.requests > 0;
    log_event(level, "split_guard", "split=%s variant=%s move=%s weight=%s state=%s%s%s%s%s",
              log_quote(s->name, quoted[0], sizeof(quoted[0])),
              log_quote(conf_of(s, g->variant)->name, quoted[1], sizeof(quoted[1])), move, weight,
              split_guard_state_name(g->state), has_figure ? " by=" : "",
              has_figure ? split_figure_name(g->cause.figure) : "", *g->why ? " reason=" : "",
              *g->why ? log_quote(g->why, why, sizeof(why)) : "");
}

static void say_why(struct split *s)
{
    struct split_guard *g = &s->book->guard;
    struct text t = text_over(g->why, sizeof(g->why));
    split_guard_cause_print(&g->cause, conf_of(s, g->variant)->name, conf_of(s, 0)->name, &t);
    (void)text_cstr(&t);
}

/* Where there is no memory they go on with what was counted under other weights, which the next look may take for a
 * mismatch: the ramp stops then, and nothing else happens. */
static void count_anew(struct split *s)
{
    struct err err;
    char quoted[ERR_TEXT_MAX + 64];
    if (split_book_begin(s->book, &err) == 0) return;
    log_event(LOG_WARN, "split_guard_impaired", "split=%s error=%s", s->name,
              log_quote(err.text, quoted, sizeof(quoted)));
}

/* looking */

static bool show(struct split *s, struct split_contrast *seen)
{
    struct split_counts *counts = calloc(s->variant_count, sizeof(*counts));
    struct split_tally tallies[SPLIT_VARIANTS_MAX];
    const struct split_guard_conf *conf = s->conf->guard;
    if (!counts) return false;
    for (uint32_t i = 0; i < s->variant_count; i++) {
        split_book_read(s->book, i, &counts[i]);
        tallies[i] = (struct split_tally){ conf_of(s, i)->name, s->variants[i].weight, &counts[i] };
    }
    split_contrast_fill(seen, tallies, s->variant_count, conf->index, split_guard_figures(conf),
                        split_guard_alpha(conf));
    free(counts);
    return true;
}

enum split_guard_move split_steer_look(struct split *s, uint64_t now_ms)
{
    static const char *const names[] = { [SPLIT_GUARD_STEP] = "step",
                                         [SPLIT_GUARD_HOLD] = "hold",
                                         [SPLIT_GUARD_RELEASE] = "release",
                                         [SPLIT_GUARD_ROLLBACK] = "rollback" };
    struct split_guard *g = split_guard_of(s);
    struct split_contrast seen;
    if (!g) return SPLIT_GUARD_STAY;
    bool is_shown = split_guard_wants(g, now_ms) && show(s, &seen);
    enum split_guard_move move = split_guard_look(g, s->conf->guard, is_shown ? &seen : NULL, now_ms);
    if (move == SPLIT_GUARD_COUNT) count_anew(s);
    if (move == SPLIT_GUARD_STEP || move == SPLIT_GUARD_ROLLBACK) split_deal(s);
    if (move == SPLIT_GUARD_STAY || move == SPLIT_GUARD_COUNT) return move;
    say_why(s);
    tell(s, move == SPLIT_GUARD_HOLD || move == SPLIT_GUARD_ROLLBACK ? LOG_WARN : LOG_INFO, names[move]);
    return move;
}

bool split_steer_follow(struct split *s, uint64_t now_ms)
{
    struct split_guard *g = &s->book->guard;
    const struct split_guard_conf *conf = s->conf->guard;
    bool is_same = conf && g->is_begun && g->variant == conf->index;
    if (is_same || (!conf && !g->is_begun)) return false;
    bool had_other_weights = g->is_begun;
    *g = (struct split_guard){ 0 };
    if (conf) split_guard_begin(g, conf, conf_of(s, conf->index)->weight, now_ms);
    if (had_other_weights) {
        split_deal(s);
        count_anew(s);
    }
    return true;
}

/* somebody's word */

void split_steer_pause(struct split *s, uint32_t weight, uint64_t now_ms)
{
    struct split_guard *g = split_guard_of(s);
    if (!g) return;
    split_guard_pause(g, weight, now_ms);
    split_deal(s);
    tell(s, LOG_INFO, "pause");
}

void split_steer_resume(struct split *s, uint64_t now_ms)
{
    struct split_guard *g = split_guard_of(s);
    if (!g) return;
    split_guard_resume(g, s->conf->guard, conf_of(s, g->variant)->weight, now_ms);
    split_deal(s);
    tell(s, LOG_INFO, "resume");
}

void split_steer_take_back(struct split *s, uint64_t now_ms)
{
    struct split_guard *g = split_guard_of(s);
    if (!g) return;
    split_guard_take_back(g, now_ms);
    split_deal(s);
    tell(s, LOG_WARN, "back");
}
