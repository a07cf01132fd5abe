/* self/leak_watch.h: looks at what is live every so often, and says so when something leaks: in a line of the log, and
 * to whoever asks. Control thread; each worker walks what is its own. */
#pragma once

#include "net/jobs.h"
#include "proxy/proxy.h"
#include "self/leak_audit.h"

struct leak_watch;

struct leak_watch_options {
    uint64_t interval_ms;
    uint32_t log_sources; /* their tables fill up as clients come */
    struct proxy *proxy;  /* borrowed, as the next ones */
    struct loop *loop;
    struct mailbox *control;
    struct jobs *jobs;
};

#define LEAK_ASKERS_MAX 16u
#define LEAK_SITES_MAX 5u
#define LEAK_STACK_TEXT 1024u

/* Who holds more memory than at the start, or an hour ago: sampled. */
struct leak_site {
    uint64_t grown_bytes;
    char stack[LEAK_STACK_TEXT]; /* the caller of malloc() first */
};

struct leak_report {
    struct leak_finding findings[LEAK_KINDS];
    uint64_t audits;     /* how often it was looked at that is still remembered */
    double span_s, load; /* from the first of these to the last; requests a second at the last */
    struct leak_site sites[LEAK_SITES_MAX];
    uint32_t site_count;
};

/* Kept by value: who asked may have gone when there is something to tell. */
struct leak_asker {
    void (*tell)(const struct leak_asker *to, const struct leak_report *r); /* r NULL: weir is stopping */
    void *context;
    uint64_t id; /* the asker's */
};

MUST_CHECK int leak_watch_new(struct leak_watch **out, const struct leak_watch_options *o, struct err *err);
/* Begins to look, when the workers have been made. */
void leak_watch_start(struct leak_watch *l);
/* Looks now, and tells. False: LEAK_ASKERS_MAX wait already. */
MUST_CHECK bool leak_watch_ask(struct leak_watch *l, const struct leak_asker *who);
/* Looks no more. What it asked of workers may still come: it is freed when they have ended. */
void leak_watch_stop(struct leak_watch *l);
void leak_watch_free(struct leak_watch *l); /* NULL is fine */
/* So many logs are watched from now on. */
void leak_watch_use(struct leak_watch *l, uint32_t log_sources);
