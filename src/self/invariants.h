/* self/invariants.h: whether what must hold in this weir holds, for whoever asks: each worker takes stock of what is its own
 * between two turns (proxy/stock.h), and what all of them share is put beside the sum of it. Nobody is stopped for that: what
 * workers did after they had looked is known, and a sum that may be off by it is told as such. Control thread. */
#pragma once

#include "proxy/invariant.h"
#include "proxy/proxy.h"

struct invariants;

struct invariants_options {
    struct proxy *proxy; /* borrowed, as the next ones */
    struct loop *loop;
    struct mailbox *control;
};

#define INVARIANT_ASKERS_MAX 128u
#define INVARIANT_SITES_MAX 32u

/* A configuration that is not freed yet. */
struct invariant_site {
    uint32_t generation, references, workers,
        stragglers; /* workers: that have it, for themselves or for what goes on */
    bool is_in_force;
};

struct invariant_report {
    struct invariant_sum sums[INVARIANT_COUNT];
    struct invariant_site sites[INVARIANT_SITES_MAX]; /* the one in force first, then the latest */
    uint32_t site_count, sites_left_out,
        retiring;    /* retiring: what configurations no longer have, and is not freed yet */
    bool is_at_rest; /* nothing moved while it was summed */
};

/* Kept by value: who asked may have gone when there is something to tell. */
struct invariant_asker {
    void (*tell)(const struct invariant_asker *to, const struct invariant_report *r);
    void *context;
    uint64_t id; /* the asker's */
};

MUST_CHECK int invariants_new(struct invariants **out, const struct invariants_options *o, struct err *err);
/* Looks after this, and tells. False: INVARIANT_ASKERS_MAX wait already, or weir is stopping. A worker that does not turn is
 * waited for as long as it takes: whoever asks has a time-out of his own. */
MUST_CHECK bool invariants_ask(struct invariants *v, const struct invariant_asker *who);
/* Asks and tells no more. What it asked of workers may still come: it is freed when they have ended. */
void invariants_stop(struct invariants *v); /* NULL is fine, here and below */
void invariants_free(struct invariants *v);
