/* net/loop_trace.h: when a loop was at work: its turns, one by one, while somebody wants to see them. */
#pragma once

#include <stdint.h>

struct loop_trace_turn {
    uint64_t begin_ns, end_ns; /* monotonic: from the events' coming to when the last is handled */
    uint32_t events;
};

/* Written by the loop's thread as long as loop->trace points to it. */
struct loop_trace {
    struct loop_trace_turn *turns;
    uint32_t count, room;
    uint64_t lost; /* turns for which there was no room */
};
