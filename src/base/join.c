#include "base/join.h"

#include <time.h>

#include "base/clock.h"

/* The C library waits by a clock that may be set: so long at a time. */
#define SLICE_NS (100 * NS_PER_MS)

bool join_within(pthread_t thread, uint32_t wait_ms)
{
    uint64_t end_ns = clock_now_ns() + wait_ms * NS_PER_MS;
    for (;;) {
        uint64_t now_ns = clock_now_ns();
        uint64_t left_ns = now_ns < end_ns ? end_ns - now_ns : 0;
        uint64_t until_ns = clock_wall_ns() + (left_ns < SLICE_NS ? left_ns : SLICE_NS);
        const struct timespec until = { .tv_sec = (time_t)(until_ns / NS_PER_S),
                                        .tv_nsec = (long)(until_ns % NS_PER_S) };
        if (pthread_timedjoin_np(thread, NULL, &until) == 0) return true;
        if (!left_ns) return false;
    }
}
