/* admin/profiler.h: the profiles of this process behind /debug/pprof/: one sampler, names for what is sampled, and answers
 * that come when a window is over. Control thread; samples are collected, named and packed on the sampler's own. */
#pragma once

#include "admin/call.h"
#include "profile/profile.h"
#include "profile/sampler.h"
#include "self/profiler_conf.h"

struct mailbox;
struct profile_history;
struct profiler;
struct trace;

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
};

/* The call is answered when the window is over. */
void profiler_ask(struct profiler *p, const struct admin_request *rq, const struct profiler_request *what,
                  struct answer *out);
/* The last hour; NULL if none is kept. Lives as long as the profiler. */
struct profile_history *profiler_history(struct profiler *p);
/* The trace that is being taken, NULL: none; kept here so that it is freed in time. */
struct trace *profiler_trace(const struct profiler *p);
void profiler_set_trace(struct profiler *p, struct trace *t);
struct mailbox *profiler_mailbox(const struct profiler *p);
/* The first two parameters of the query, seconds and hz; false: out says what is wrong with them. */
bool pprof_read_window(const struct admin_request *rq, double preset_s, struct profiler_request *what,
                       struct answer *out);
/* As Go's handlers answer faults: text, with the field that makes pprof print it. */
void profiler_fault(struct answer *out, uint16_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
