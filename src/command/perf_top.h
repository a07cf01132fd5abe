/* command/perf_top.h: the heaviest places of a profile, for people. Pure. */
#pragma once

#include <stdbool.h>

#include "profile/profile.h"

#define PERF_TOP_MAX 15u
#define PERF_TOP_NAME_MAX 160u

enum perf_top_place {
    PERF_TOP_FUNCTION, /* where the sample was taken, the kernel's functions included */
    PERF_TOP_CALL, /* the program's own last function, and who called it: "epoll_wait < loop_turn < run" */
};

struct perf_top {
    uint32_t count;
    struct {
        int64_t value;
        double share; /* 0 to 1 */
        char name[PERF_TOP_NAME_MAX];
    } items[PERF_TOP_MAX]; /* the heaviest first */
};

/* By the second type of the profile: its time. Nothing if there is no memory. */
void perf_top_make(struct perf_top *out, const struct profile *p, enum perf_top_place place);
