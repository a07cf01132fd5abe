/* proxy/shed.h: memory is short. Rather than that everybody who comes is refused for the sake of those who were here before,
 * the connections that hold most of it end. A worker's own. */
#pragma once

#include "net/loop.h"

struct worker;

struct shed {
    struct loop_task task;
    uint64_t again_ms, soon_again_ms; /* not before: asked by who was refused, and before anybody is */
    bool is_refused;                  /* somebody was, since it was last worked off */
};

void shed_init(struct shed *s);
void shed_fini(struct shed *s);
/* Somebody was refused for want of memory. Whoever ends for it does so later: first those whose work is of no use to anybody. */
void shed_ask(struct worker *w);
/* That is about to be: only those end. */
void shed_ask_soon(struct worker *w);
