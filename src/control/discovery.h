/* control/discovery.h: servers that have to be found: who is asked for those of the configuration in force, or of one that is to
 * come, and what becomes of the answers: pools get other servers, while the configuration stays as it is. Control thread. */
#pragma once

#include "admin/finder.h"
#include "control/config.h"
#include "net/jobs.h"
#include "pool/found_servers.h"
#include "proxy/proxy.h"

/* How long a configuration that is new waits for the first answers, at most: then it goes on without them. */
#define DISCOVERY_FIRST_MS 3000u

struct discovery;

struct discovery_options {
    struct loop *loop; /* borrowed, as what follows */
    struct jobs *jobs;
    const struct config *started; /* for its `resolver` */
    /* The pool's servers are others now: in the turn in which they became so. */
    void (*on_pool)(void *context, struct pool *p);
    void *context;
};

MUST_CHECK int discovery_new(struct discovery **out, const struct discovery_options *o, struct err *err);
/* Asks nobody any more; whoever waits is told. NULL is fine, also in the next. */
void discovery_stop(struct discovery *d);
void discovery_free(struct discovery *d);
const struct servers_finder *discovery_finder(struct discovery *d);
struct finder *discovery_api(struct discovery *d);
struct sources;
const struct sources *discovery_sources(const struct discovery *d);

/* The configuration in force, also the first: from now on its names are asked for, and no others. */
void discovery_use(struct discovery *d, const struct config *config);
/* It is there by now, with metrics to be shown in. Borrowed until discovery_stop(). */
void discovery_serve(struct discovery *d, struct proxy *p);
/* At the start: turns the loop until all that is asked for has been answered, for DISCOVERY_FIRST_MS, or until something in the loop
 * has set *is_over (NULL: nothing does). */
void discovery_await_first(struct discovery *d, const bool *is_over);

/* Of one who waits for what a configuration needs. Embedded; zeroed before its first use. */
struct discovery_wait {
    struct list link;
    struct timer timer;
    struct discovery *owner; /* NULL: nothing is held */
    struct source **sources; /* one user each */
    uint32_t count;
    void (*done)(struct discovery_wait *w);
};

/* True: each name of the configuration has been answered or has failed. False: done() comes when that is so, when it has
 * taken too long, or when discovery is stopped. Until discovery_wait_end() what was found for it is known. */
bool discovery_await(struct discovery *d, struct discovery_wait *w, const struct config *config);
/* done() does not come. Fine at any time. */
void discovery_wait_end(struct discovery_wait *w);
