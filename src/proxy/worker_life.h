/* proxy/worker_life.h: a worker from its making to its end: its thread, and what it is told by mail. It knows all that may go on at
 * a worker, so that proxy/worker.h need not. The control thread's, but for what says otherwise. */
#pragma once

#include "proxy/worker.h"

/* What a worker goes on with: all of it is made before anything has changed, so that it needs nothing that could fail. */
struct worker_change {
    struct site_view *view;
    struct mail done; /* to the control thread, once it goes by it; nothing to deliver: none */
    uint32_t socket_count;
    struct worker_socket { /* to listen at instead of those that it has */
        uint32_t listener; /* its place in the site, in ascending order */
        int fd;
    } sockets[];
};

MUST_CHECK int worker_new(struct worker **out, struct proxy *p, uint32_t index, struct err *err);
void worker_free(struct worker *w);
/* Watches its listeners' sockets; whoever turns the loop then accepts. worker_start() does it too. */
MUST_CHECK int worker_listen(struct worker *w, struct err *err);
/* Starts the thread (all signals but faults blocked in it). */
MUST_CHECK int worker_start(struct worker *w, struct err *err);
/* From the control thread, by mail: no new connections, idle ones close, the others end with their exchange. keeps_idle: idle
 * ones may have one more request, whose answer says that it is the last, until it is said again without that: nobody whose
 * request is on its way meets a closed connection. */
void worker_drain(struct worker *w, bool keeps_idle);
/* By mail: everything ends now, and the thread with it. */
void worker_stop(struct worker *w);
/* Closes its listeners' sockets, ends everything. On the worker's thread. */
void worker_kill(struct worker *w);
void worker_join(struct worker *w);
/* By mail: `set` (a reference, taken) is who may be picked from now on. */
void worker_publish(struct worker *w, struct peer_set *set);
/* A view of `site` (a reference of its own) for one worker, and no sockets yet, but room. NULL: out of memory. */
struct worker_change *worker_change_new(struct site *site, uint32_t socket_room);
/* With its sockets, if nobody has taken them. NULL is fine. */
void worker_change_free(struct worker_change *change);
/* By mail: `change` (taken) is what new exchanges go by, listeners come and go with it. Those that are past their
 * response's head let go of the one before. */
void worker_swap(struct worker *w, struct worker_change *change);
/* By mail: no connection to any of its servers is kept, now that all are retired. */
void worker_close_idle(struct worker *w, struct pool *pool);
/* By mail: whether another process may hold this one's descriptors; each worker that knows adds 1 to *told,
 * which may be NULL. */
void worker_tell_copied(struct worker *w, bool is_copied, _Atomic uint32_t *told);
/* The worker serves nobody any more, and gives its configuration back. */
void worker_leave_site(struct worker *w);
