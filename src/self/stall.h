/* self/stall.h: whether a loop that ought to turn does: pure, on the clock of whoever looks. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct stall {
    uint64_t turns;      /* as of the last look */
    uint64_t looked_ms;  /* when that was */
    uint64_t turned_ms;  /* when it was first seen with so many */
    uint64_t asked_ms;   /* when it was asked to turn; while is_asked */
    bool is_known;       /* it has been looked at */
    bool is_asked;       /* it has not turned since */
    bool is_stuck;       /* for as long as the bound */
    uint64_t count;      /* how often it was stuck */
    uint64_t past_ms;    /* for how long, all but what goes on now */
    uint64_t longest_ms; /* likewise */
};

enum stall_news {
    STALL_NONE,
    STALL_ASK, /* it has not turned for half of the bound, maybe for want of work: wake it, it ought to turn now */
    STALL_BEGUN, /* it has not turned for the bound, though it was woken */
    STALL_ENDED, /* it turns again */
};

/* `turns` is how many it has begun by now. To be asked several times within the bound. Where whoever asks was held up himself for half of it or
 * more (a host that sleeps, a process that is stopped), nothing is known of the others, and they are asked anew. */
enum stall_news stall_look(struct stall *s, uint64_t turns, uint64_t now_ms, uint64_t bound_ms);
/* For how long it has not turned, though it was woken; 0: it turns. */
uint64_t stall_held_ms(const struct stall *s, uint64_t now_ms);
