/* profile/sampled_profile.h: a window's samples with names: what profile writers take. */
#pragma once

#include "profile/profile.h"
#include "profile/sampler.h"
#include "stack/kernel_symbols.h"

struct sampled_profile_options {
    /* The names behind a label's numbers; NULL where there are none. They may return data NULL. */
    struct slice (*name_of)(void *context, uint32_t id);
    struct slice (*phase_of)(void *context, uint32_t phase);
    void *context;
    pid_t pid; /* for the threads' names; 0: this process */
    /* The kernel's names, read when the first is needed and kept for further calls: the caller's to free. NULL: read anew. */
    struct kernel_symbols **kernel;
    /* Keeps a stack if it says so; NULL keeps all. Called with each name from the leaf up until it says true. */
    bool (*is_wanted)(struct slice function);
    struct notes *notes; /* what could not be found out is added; may be NULL */
};

/* PERF_ON_CPU: samples/count and cpu/nanoseconds; PERF_OFF_CPU: contentions/count and delay/nanoseconds. The caller frees
 * *out. */
MUST_CHECK int sampled_profile_make(struct profile **out, const struct sampler_window *w,
                                    const struct sampled_profile_options *o, struct err *err);
