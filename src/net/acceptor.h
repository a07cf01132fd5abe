/* net/acceptor.h: takes the connections that wait at one listening socket and hands each to whoever serves it. One loop's
 * thread.
 *
 * The socket, non-blocking and listening, is the acceptor's from acceptor_open() to acceptor_close(). Another descriptor of
 * the same socket may be with another loop's acceptor (a unix path is shared by all workers), or with another process that
 * takes over or shares the port: each takes what it gets. One acceptor may have several sockets (acceptor_add()).
 *
 * It accepts until the kernel has no more (the reports are edge-triggered), but no more than `burst` before the rest of the
 * turn has its turn.
 *
 * Without a free descriptor a connection can neither be taken nor does it go away, and the kernel does not even look whether
 * one waits. Then the loop's spare descriptor is given up for a moment: the connection is taken in its place and closed,
 * shed, so that its client need not wait for a time-out. Where that fails too, or a whole burst brings nothing but
 * errors, the acceptor pauses for ACCEPTOR_PAUSE_MS while connections wait in the backlog: whatever accept(2) says, it never
 * spins. */
#pragma once

#include "base/address.h"
#include "base/log.h"
#include "net/loop.h"

#define ACCEPTOR_PAUSE_MS 100u

struct acceptor;

/* One for all acceptors of a loop. */
struct acceptor_spare {
    int fd; /* -1: it is given up, and comes back when there is a descriptor again */
};

struct acceptor_use {
    void *owner; /* for the two below, as a->use.owner */
    /* Takes `fd`, which is non-blocking and close-on-exec. May close the acceptor. */
    void (*on_connection)(struct acceptor *a, int fd, const struct address *peer);
    /* One was closed unserved, for want of a descriptor. May be NULL. */
    void (*on_shed)(struct acceptor *a, const struct address *peer);
    uint32_t burst;   /* at least 1 */
    const char *name; /* of the listener, for messages */
};

struct acceptor {
    struct loop_fd io;     /* fd -1: closed */
    struct acceptor *next; /* of its further sockets; of the first alone who opened it has a place */
    struct loop *loop;     /* NULL: never opened */
    struct acceptor_use use;
    struct acceptor_spare *spare;
    struct loop_task more;
    struct timer pause;
    int cause; /* the last errno of accept() */
    struct log_limit trouble_limit;
    struct loop_grave grave; /* of a further one */
};

void acceptor_spare_open(struct acceptor_spare *s);
void acceptor_spare_close(struct acceptor_spare *s);

/* Takes `fd`, also where it fails. `spare` and the strings of `use` are borrowed until acceptor_close(). */
MUST_CHECK int acceptor_open(struct acceptor *a, struct loop *l, int fd, const struct acceptor_use *use,
                             struct acceptor_spare *spare, struct err *err);
/* One more socket of the same listener, for the same owner: it is closed with the first, which is open. Takes `fd` likewise. */
MUST_CHECK int acceptor_add(struct acceptor *a, int fd, struct err *err);
/* Takes what waits in the backlog, then closes the socket: none is refused that the kernel had accepted. Zeroed
 * memory and one that is closed are fine here and in the next. */
void acceptor_close(struct acceptor *a);
/* Closes the socket as it is. */
void acceptor_kill(struct acceptor *a);
static inline bool acceptor_is_open(const struct acceptor *a)
{
    return a->loop && a->io.fd >= 0;
}
