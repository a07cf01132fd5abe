/* proxy/retire.h: the end of what a configuration no longer has: servers, pools, listeners and older sites. Mark it, wait
 * until nobody can see it, free it. Control thread.
 *
 * A thing is freed when (1) nobody refers to it and nothing of it goes on; then (2) each worker has been told to forget it;
 * then (3) each worker has ended the turn in which it did, so that graves are buried and mails to it delivered; then (4) all
 * that workers had posted to the control thread before that is delivered. */
#pragma once

#include "base/err.h"
#include "base/list.h"
#include "net/mailbox.h"

struct proxy;
struct worker;

struct retire_kind {
    /* Nobody refers to it, and nothing of it goes on. Asked again and again. */
    bool (*is_quiet)(void *object);
    /* By mail, on each worker's thread. NULL: there is nothing to forget. */
    void (*forget)(struct worker *w, void *object);
    /* Gives everything back; false: not yet all of it, ask again. */
    bool (*free)(struct proxy *p, void *object);
};

/* The list of those that are on their way out. */
struct retirement {
    struct list waiting; /* of struct retiree */
    uint32_t count;
    struct list spare; /* likewise, of nothing yet */
    uint32_t spare_count;
};

void retirement_init(struct retirement *r);
void retirement_fini(struct retirement *r); /* nothing waits any more */
/* So many things can be added without memory: before something is put in force that others go for. -1: there is none. */
MUST_CHECK int retire_reserve(struct proxy *p, uint32_t count, struct err *err);
/* Without a place and without memory to remember it the thing is never freed: a leak rather than a danger. */
void retire_add(struct proxy *p, const struct retire_kind *kind, void *object);
/* Whether something of that kind that is on its way out is it. */
bool retire_has(const struct proxy *p, const struct retire_kind *kind,
                bool (*is_it)(const void *object, const void *context), const void *context);
/* Goes on with each as far as it can; to be called now and then while p->retirement.count. */
void retire_look(struct proxy *p);
/* No worker runs any more, and none of their mails is left. */
void retire_all(struct proxy *p);
