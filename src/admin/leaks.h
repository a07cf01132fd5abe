/* admin/leaks.h: looks at what is live every so often, and says so when something leaks: in a line of the log, by the API,
 * as a metric. Control thread; each worker walks what is its own. */
#pragma once

#include "admin/profiler_conf.h"
#include "proxy/proxy.h"

struct leak_watch;

struct leak_watch_options {
    uint64_t interval_ms;
    uint32_t log_sources; /* their tables fill up as clients come */
    struct proxy *proxy;  /* borrowed, as the next ones */
    struct loop *loop;
    struct mailbox *control;
};

MUST_CHECK int leak_watch_new(struct leak_watch **out, const struct leak_watch_options *o, struct err *err);
/* The workers are there. */
void leak_watch_start(struct leak_watch *l);
/* Looks no more. What it asked of workers may still come: it is freed when they have ended. */
void leak_watch_stop(struct leak_watch *l);
void leak_watch_free(struct leak_watch *l); /* NULL is fine */
