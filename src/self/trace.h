/* self/trace.h: what the workers did in a few seconds, turn by turn and exchange by exchange, for ui.perfetto.dev and
 * chrome://tracing (Google, "Trace Event Format"). One at a time. Control thread. */
#pragma once

#include "net/jobs.h"
#include "proxy/proxy.h"
#include "self/asker.h"

/* So many turns of a worker and exchanges of all are kept; what is beyond is counted. */
#define TRACE_TURNS_MAX (1u << 16)
#define TRACE_EXCHANGES_MAX 20000u

struct trace;

struct trace_options {
    struct loop *loop; /* borrowed, as all pointers */
    struct jobs *jobs;
    uint64_t duration_ms;
    struct asker asker; /* told a JSON text when it is over */
    struct proxy *proxy;
    struct mailbox *control;
    void (*on_end)(void *keeper); /* it is about to free itself: whoever keeps it lets go */
    void *keeper;
};

/* NULL: there is no memory, or no worker heard of it. Frees itself when it has told. */
struct trace *trace_start(const struct trace_options *o);
/* Nobody wants it any more: the asker is not told. Not after he was told. */
void trace_give_up(void *trace);
/* Stops looking; freed when the workers have ended. NULL is fine, for both. */
void trace_stop(struct trace *t);
void trace_free(struct trace *t);
