#include "self/stall.h"

static enum stall_news note_turn(struct stall *s, uint64_t turns, uint64_t now_ms)
{
    uint64_t held_ms = stall_held_ms(s, now_ms);
    bool was_stuck = s->is_stuck;
    s->turns = turns;
    s->turned_ms = now_ms;
    s->is_known = true;
    s->is_asked = s->is_stuck = false;
    if (!was_stuck) return STALL_NONE;
    s->past_ms += held_ms;
    if (held_ms > s->longest_ms) s->longest_ms = held_ms;
    return STALL_ENDED;
}

enum stall_news stall_look(struct stall *s, uint64_t turns, uint64_t now_ms, uint64_t bound_ms)
{
    bool was_held_up = s->is_known && now_ms - s->looked_ms >= bound_ms / 2;
    s->looked_ms = now_ms;
    if (!s->is_known || turns != s->turns) return note_turn(s, turns, now_ms);
    if (s->is_stuck) return STALL_NONE;
    if (!s->is_asked && now_ms - s->turned_ms < bound_ms / 2) return STALL_NONE;
    if (!s->is_asked || was_held_up) {
        s->is_asked = true;
        s->asked_ms = now_ms;
        return STALL_ASK;
    }
    if (now_ms - s->asked_ms < bound_ms) return STALL_NONE;
    s->is_stuck = true;
    s->count++;
    return STALL_BEGUN;
}

uint64_t stall_held_ms(const struct stall *s, uint64_t now_ms)
{
    return s->is_asked && now_ms > s->asked_ms ? now_ms - s->asked_ms : 0;
}
