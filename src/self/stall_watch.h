/* self/stall_watch.h: a thread of its own that sees to it that the workers' loops turn, and the control thread's: one that does not is
 * named in the log, in metrics and to whoever asks, with what it is doing and where in the code it is. Begun, asked and ended on the control
 * thread. */
#pragma once

#include "net/mailbox.h"
#include "proxy/proxy.h"

#define STALL_STACK_TEXT 1024u

struct stall_watch;

struct stall_watch_options {
    uint64_t bound_ms;       /* how long one may take to turn */
    struct proxy *proxy;     /* borrowed, as the next ones */
    const struct loop *loop; /* the control thread's */
    struct mailbox *control;
};

/* Of one thread. */
struct stall_report {
    char name[16];    /* of the thread: "0" for the first worker, "control" */
    uint32_t thread;  /* the kernel's number */
    uint64_t turns;   /* of its loop */
    uint64_t count;   /* how often it was stuck */
    uint64_t held_ms; /* for how long it is stuck now; 0: it turns */
    uint64_t total_ms, longest_ms;
    /* Of the latest time; at_ns 0: there was none. */
    uint64_t at_ns; /* when, since 1970: when it should have turned */
    uint64_t
        cpu_ms; /* processor time that it had had when it was found: little is a host that is short of it, or a wait */
    const char *
        listener; /* whose work it was doing; NULL: nobody's, or not known; lives as long as the process, like the next ones */
    const char *pool, *phase;
    char stack[STALL_STACK_TEXT]; /* "innermost < its caller < …"; "" where it was not to be had */
};

MUST_CHECK int stall_watch_new(struct stall_watch **out, const struct stall_watch_options *o,
                               struct err *err);
/* Begins to look: the workers run, and the control thread, which calls this, is about to turn its loop. */
MUST_CHECK int stall_watch_start(struct stall_watch *s, struct err *err);
/* Nobody is looked at any more. Before the workers end; twice is fine, and NULL. */
void stall_watch_stop(struct stall_watch *s);
void stall_watch_free(struct stall_watch *s); /* after metrics are shown no more; NULL is fine */
/* How many threads are looked at: the workers in their order, then the control thread. */
uint32_t stall_watch_count(const struct stall_watch *s);
void stall_watch_read(struct stall_watch *s, uint32_t index, struct stall_report *out);
/* The longest that any has not turned by now though it was woken, stuck or not yet. */
uint64_t stall_watch_held_ms(struct stall_watch *s);
