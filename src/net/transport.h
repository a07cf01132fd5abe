/* net/transport.h: a stream of bytes both ways over one descriptor: plain now, TLS in the same seat.
 * Remembers readiness, so that nobody asks the kernel what it has already said. One loop's thread.
 *
 * After an event the owner's on_ready(t) is called; it then reads until IO_AGAIN or until it has enough, and
 * writes likewise. A transport that was accepted is taken to be readable and is registered with the loop only when
 * somebody first has to wait. */
#pragma once

#include <sys/uio.h>

#include "base/address.h"
#include "net/loop.h"

enum io { IO_OK, IO_AGAIN, IO_EOF, IO_FAIL };

struct transport;

struct transport_ops {
    const char *name;
    /* Goes on with opening: connect, handshake. May take many turns. */
    enum io (*open)(struct transport *t);
    enum io (*recv)(struct transport *t, char *data, size_t len, size_t *got);
    /* Sends from the front; *sent may be less than all (then IO_OK and no longer writable). */
    enum io (*send)(struct transport *t, const struct iovec *iov, int count, size_t *sent);
    /* Bulk: shows what has come without taking it; drop() takes the first `len` of it. NULL: not offered. */
    enum io (*peek)(struct transport *t, char *data, size_t len, size_t *got);
    enum io (*drop)(struct transport *t, size_t len);
    /* Says that nothing more will be sent (FIN). */
    enum io (*shutdown)(struct transport *t);
};

struct transport {
    struct loop_fd io;
    bool is_readable,
        is_writable; /* the kernel, or a decrypted buffer, has (room for) bytes, as far as known */
    bool has_hangup; /* RDHUP, HUP, ERR or PRI was reported: a short read says nothing about the next */
    bool is_broken;  /* HUP or ERR: both directions are gone */
    bool is_open, is_shut;
    bool
        ends_with_this; /* what is sent now is the last: its close follows within this turn, in the same segment */
    bool has_sent;      /* a byte was handed to the kernel since the owner last cleared it */
    int saved_errno; /* of the last IO_FAIL */
    struct loop *loop;
    const struct transport_ops *ops;
    void (*on_ready)(struct transport *t);
};

extern const struct transport_ops transport_plain_ops;

/* Over a connected, non-blocking socket; taken. */
void transport_init_accepted(struct transport *t, struct loop *l, int fd,
                             void (*on_ready)(struct transport *));
/* Begins a connection; transport_open() goes on. 0, or -1 with saved_errno: no descriptor, no route, …
 * local: the address to leave by, of port 0; NULL: the kernel chooses. */
MUST_CHECK int transport_connect(struct transport *t, struct loop *l, const struct address *to,
                                 const struct address *local, void (*on_ready)(struct transport *));
/* An unused transport: transport_close() on it does nothing. */
void transport_init_closed(struct transport *t);

enum io transport_open(struct transport *t);
enum io transport_recv(struct transport *t, char *data, size_t len, size_t *got);
enum io transport_send(struct transport *t, const struct iovec *iov, int count, size_t *sent);
enum io transport_shutdown(struct transport *t);

/* Asks to be called when something changes; -1 if the kernel refuses the registration (then the transport is
 * to be closed). Costs a system call the first time only. */
MUST_CHECK int transport_wait(struct transport *t);
/* The peer is known to have closed or reset, whether or not that was read: not fit for reuse. */
static inline bool transport_is_dead(const struct transport *t)
{
    return t->io.fd < 0 || t->has_hangup || (t->io.pending & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}
/* Closes; is_reset: so that the peer gets a reset and not a FIN. Twice is fine. */
void transport_close(struct transport *t, bool is_reset);
/* Moves the descriptor and all that is known of it to `to`; `from` is closed afterwards. */
MUST_CHECK int transport_move(struct transport *from, struct transport *to,
                              void (*on_ready)(struct transport *));
static inline bool transport_is_closed(const struct transport *t)
{
    return t->io.fd < 0;
}
