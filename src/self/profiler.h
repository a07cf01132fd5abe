/* self/profiler.h: profiles of this process: one sampler, names for what is sampled, and word to whoever asked when a
 * window is over. Control thread; samples are collected, named and packed on the sampler's own. */
#pragma once

#include "profile/profile.h"
#include "profile/sampler.h"
#include "self/asker.h"
#include "self/profiler_conf.h"
#include "self/trace.h"

struct mailbox;
struct profile_history;
struct proxy;
struct profiler;

MUST_CHECK int profiler_new(struct profiler **out, struct proxy *proxy, struct mailbox *control,
                            struct err *err);
/* From now on keeps what the last hour did, if the configuration wants it; the workers are there. */
MUST_CHECK int profiler_keep(struct profiler *p, const struct profiler_conf *conf, struct err *err);
/* Waits until nothing is sampled; what it posted may still lie in the control's mailbox. NULL is fine. */
void profiler_stop(struct profiler *p);
void profiler_free(struct profiler *p);

enum profiler_form { PROFILER_PPROF, PROFILER_FOLDED, PROFILER_FLAME };

struct profiler_request {
    enum perf_kind kind;
    uint32_t hz;
    uint64_t duration_ms;
    enum profiler_form form;
    bool is_lock; /* PERF_OFF_CPU: only where a lock is waited for */
    bool is_wall; /* on and off the CPU together */
    struct asker asker;
};
struct profiler_question;

/* The asker is told when the window is over. NULL: it is not taken, and err says why; is_busy: others are in the way. */
struct profiler_question *profiler_ask(struct profiler *p, const struct profiler_request *what, bool *is_busy,
                                       struct err *err);
/* Nobody wants it any more: the asker is not told, and what is being done ends. Not after he was told. */
void profiler_give_up(void *question);
/* The last hour; NULL if none is kept. Lives as long as the profiler. */
struct profile_history *profiler_history(struct profiler *p);
/* `what` says loop, jobs, time and asker. The profiler keeps it: one at a time. NULL: there is one (is_busy), or no memory. */
struct trace *profiler_trace(struct profiler *p, const struct trace_options *what, bool *is_busy);
