/* self/live.h: what lives in this process right now, as a profile: threads with their stacks, exchanges, tunnels and
 * connections by state, memory by who took it. Control thread; looked at on the jobs'. */
#pragma once

#include "net/jobs.h"
#include "proxy/proxy.h"
#include "self/asker.h"

enum live_kind { LIVE_GOROUTINE, LIVE_THREADS, LIVE_HEAP, LIVE_ALLOCS };

struct live_request {
    enum live_kind kind;
    unsigned debug;   /* as Go knows it: 0 is pprof's format, 1 and 2 are text */
    uint64_t wait_ms; /* only what came in that time; 0: all */
    struct proxy *proxy;
    struct loop *loop;
    struct jobs *jobs;
    struct asker asker;
};

struct live_question;

/* The asker is told when it is done. NULL: it is not taken, and err says why. */
struct live_question *live_ask(const struct live_request *what, struct err *err);
/* Nobody wants it any more: the asker is not told. Not after he was told. */
void live_give_up(void *question);
