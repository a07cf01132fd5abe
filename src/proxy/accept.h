/* proxy/accept.h: a listener on a worker: takes connections, asks the gate, and starts the protocol. */
#pragma once

#include "proxy/worker.h"

/* Takes over what its route set says to connections, those that are open too. */
void accept_use(struct listener_worker *lw);
/* A connection that nothing has been read of is served by this worker: takes `fd`. */
void accept_here(struct listener_worker *lw, int fd, const struct address *peer);
/* One goes to another worker: counted at the listener and in all until it has arrived there, false if there are as many as may be.
 * On that one's side: it has, and is counted anew by whoever goes on with it. */
bool accept_depart(struct listener_worker *lw);
void accept_arrived(struct listener_worker *lw);
/* It is known who the client is: takes `fd`. is_local: it is of AF_UNIX, whatever the client's address is. */
void accept_introduced(struct listener_worker *lw, int fd, const struct address *client, bool is_local);
/* It never was; `fd` is closed. detail: static, may be NULL. */
void accept_failed(struct listener_worker *lw, const struct address *peer, enum end_reason reason,
                   const char *detail);
/* Accepts at `fd` (taken, also where it fails), besides those that it accepts at already. */
MUST_CHECK int accept_open(struct listener_worker *lw, int fd, struct err *err);
/* It accepts no more, and what waits is taken. Of datagrams: its sessions end, as nobody takes what comes for them; is_back: others
 * take that, and what was asked may still be answered. */
void accept_close(struct listener_worker *lw, bool is_back);
/* Whether one more may come: counted if so, for worker_client_closed() to count back; *is_counted: among its
 * address's too, which another configuration may do otherwise. Else why not. */
enum end_reason accept_admit(struct listener_worker *lw, const struct ip *client, bool *is_counted);
/* It may not: that is counted and said. */
void accept_refused(struct listener_worker *lw, const struct address *client, enum end_reason reason);
