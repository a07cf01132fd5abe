#include "proxy/lag.h"

/* In LAG_WHOLE-ths of a class, a step. */
#define RAISE 8u
#define LOWER 4u
/* What was refused shows when as much time has passed as everybody waits: a look that took long is not so many steps. */
#define STEPS_MAX 4u

/* To refuse costs too: were all refused that come faster than they can be, nobody would be served. */
static uint32_t most_of(uint32_t class)
{
    static const uint32_t most[LAG_CLASSES] = { LAG_WHOLE * 3 / 4, LAG_WHOLE * 15 / 16, LAG_WHOLE };
    return most[class < LAG_CLASSES ? class : 0];
}

static uint32_t start_of(uint32_t class)
{
    return (LAG_CLASSES - 1 - class) * LAG_WHOLE;
}

static void raise(struct lag *l, uint32_t steps, bool is_far_over)
{
    const uint32_t most = start_of(0) + most_of(0);
    /* Nobody is there of the class whose turn it is to be refused. */
    if (!l->step_refused && l->pressure) l->pressure = (l->pressure / LAG_WHOLE + 1) * LAG_WHOLE;
    l->pressure += RAISE * steps * (is_far_over ? 2 : 1);
    if (l->pressure > most) l->pressure = most;
}

static void begin_step(struct lag *l, uint64_t now_ms)
{
    l->step_ms = now_ms;
    l->least_ms = UINT64_MAX;
    l->step_refused = 0;
}

static enum lag_news end_step(struct lag *l, const struct overload_conf *conf, uint64_t now_ms)
{
    uint64_t passed = (now_ms - l->step_ms) / LAG_STEP_MS;
    uint32_t steps = passed < STEPS_MAX ? (uint32_t)passed : STEPS_MAX;
    if (conf->lag_ms && l->least_ms >= conf->lag_ms)
        raise(l, steps, l->least_ms >= 2 * conf->lag_ms);
    else if (!conf->lag_ms || l->least_ms < conf->lag_ms / 2 || !l->least_ms)
        l->pressure = l->pressure > LOWER * steps ? l->pressure - LOWER * steps : 0;
    begin_step(l, now_ms);
    if (l->pressure) return LAG_SAME;
    *l = (struct lag){ .looked_ms = now_ms };
    return LAG_ENDED;
}

static enum lag_news look_for_begin(struct lag *l, const struct overload_conf *conf, uint64_t waited_ms,
                                    uint64_t now_ms)
{
    /* Where nobody came for a while nobody waited. */
    bool goes_on = l->count && now_ms - l->looked_ms <= waited_ms + conf->window_ms;
    if (!conf->lag_ms || waited_ms < conf->lag_ms) {
        l->count = 0;
        return LAG_SAME;
    }
    if (!goes_on) {
        l->count = 0;
        l->since_ms = now_ms - waited_ms;
    }
    if (++l->count < LAG_LOOKS_MIN || now_ms - l->since_ms < conf->window_ms) return LAG_SAME;
    l->is_over = true;
    l->pressure = RAISE;
    begin_step(l, now_ms);
    return LAG_BEGUN;
}

enum lag_news lag_look(struct lag *l, const struct overload_conf *conf, uint64_t waited_ms, uint64_t now_ms)
{
    enum lag_news news = LAG_SAME;
    if (!l->is_over) {
        news = look_for_begin(l, conf, waited_ms, now_ms);
    } else {
        if (waited_ms < l->least_ms) l->least_ms = waited_ms;
        if (now_ms - l->step_ms >= LAG_STEP_MS) news = end_step(l, conf, now_ms);
    }
    l->looked_ms = now_ms;
    return news;
}

bool lag_refuses(struct lag *l, uint32_t class, uint32_t draw)
{
    uint32_t start = start_of(class), share = l->pressure > start ? l->pressure - start : 0;
    if (share > most_of(class)) share = most_of(class);
    if (!l->is_over || draw % LAG_WHOLE >= share) return false;
    l->step_refused++;
    return true;
}
