/* proxy/overload.h: a worker that has more to do than it can, or that memory or descriptors are short for: what it refuses then
 * of what comes, and what is said of it. A worker's own; its thread only, but for what says otherwise.
 *
 * How long what comes waits is found out by a mail that the worker sends itself: it comes the way that all else comes, by the event
 * queue, behind those who were there before (proxy/lag.h). It is sent while requests and connections come, and until nobody is
 * refused any more; who does nothing is not woken. */
#pragma once

#include "base/end_reason.h"
#include "net/loop.h"
#include "proxy/lag.h"

struct metric_registry;
struct proxy;
struct worker;

enum overload_cause { OVERLOAD_LAG, OVERLOAD_MEMORY, OVERLOAD_DESCRIPTORS, OVERLOAD_CAUSES };

/* Of one cause. It is on until nobody was refused for a while. */
struct overload_state {
    uint64_t since_ms, latest_ms; /* while is_on */
    uint64_t refused_before;      /* as it began */
    _Atomic bool is_on;           /* it writes, any may look, as the next */
    _Atomic uint64_t refused;
};

struct overload {
    uint64_t look_ns;           /* who comes from then on is looked at; 0: everybody */
    bool is_asking;             /* the mail is under way */
    struct timer timer;         /* armed while something is on */
    struct lag lag;             /* by that mail */
    _Atomic uint64_t waited_ms; /* of the last one; it writes, any may look */
    struct overload_state states[OVERLOAD_CAUSES];
};

void overload_init(struct overload *o);
/* The worker ends: nothing is asked or said any more. */
void overload_stop(struct worker *w);

/* "lag", "memory", "descriptors". */
const char *overload_cause_name(enum overload_cause cause);

/* Which class comes over a connection is not known before it speaks. */
#define OVERLOAD_ANY_PRIORITY 0u

/* For overload_refuses() alone. */
enum end_reason overload_look(struct worker *w, uint32_t priority);
/* One more has come, of that class (enum pool_priority): why it is refused, END_NONE if it is not. now_ns: the loop's. */
static inline enum end_reason overload_refuses(struct worker *w, const struct overload *o, uint64_t now_ns,
                                               uint32_t priority)
{
    return now_ns >= o->look_ns ? overload_look(w, priority) : END_NONE;
}
/* Somebody was refused, or failed, for that reason: counted, and said as it begins and ends, where it is one of the causes. */
void overload_note(struct worker *w, enum end_reason reason);

/* Of all workers. Control thread. */
void overload_show_metrics(struct proxy *p);
