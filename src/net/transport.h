/* net/transport.h: a stream of bytes both ways over one descriptor: plain, or TLS (tls/conn.h).
 * Remembers readiness, so that nobody asks the kernel what it has already said. One loop's thread.
 *
 * After an event the owner's on_ready(t) is called; it then reads until IO_AGAIN or until it has enough, and
 * writes likewise. A transport that was accepted is taken to be readable and is registered with the loop only when
 * somebody first has to wait. */
#pragma once

#include <sys/uio.h>

#include "base/address.h"
#include "base/end_reason.h"
#include "net/loop.h"

enum io { IO_OK, IO_AGAIN, IO_EOF, IO_FAIL };

struct transport;

/* What a transport is made of. Those marked so may be NULL; an op is not called once the transport is closed. */
struct transport_ops {
    const char *name;
    /* Goes on with opening: connect, handshake. May take many turns. IO_OK: t->is_open. */
    enum io (*open)(struct transport *t);
    enum io (*recv)(struct transport *t, char *data, size_t len, size_t *got);
    /* Sends from the front; *sent may be less than all (then IO_OK and no longer writable). What it took and could not
     * pass on it keeps: t->holds_rest. */
    enum io (*send)(struct transport *t, const struct iovec *iov, int count, size_t *sent);
    /* Passes on what send() kept; once all of it is out, t->holds_rest is false. Called as soon as the descriptor is
     * writable. NULL: it keeps nothing. */
    enum io (*flush)(struct transport *t);
    /* Bulk: shows what has come without taking it; drop() takes the first `len` of it. NULL: not offered. */
    enum io (*peek)(struct transport *t, char *data, size_t len, size_t *got);
    enum io (*drop)(struct transport *t, size_t len);
    /* Says that nothing more will be sent (FIN), behind what it keeps. */
    enum io (*shutdown)(struct transport *t);
    /* The descriptor reported these EPOLL* bits: notes what it is ready for. The owner's on_ready follows. */
    void (*on_events)(struct transport *t, uint32_t events);
    /* See transport_is_dead(). */
    bool (*is_dead)(struct transport *t);
    /* Has on_ready called from now on. */
    int (*wait)(struct transport *t);
    /* Closes the descriptor, and gives back what it has of its own; see transport_close(). */
    void (*close)(struct transport *t, bool is_reset);
    /* It went on at `to`, which is a copy: whatever of its own points back follows. NULL: nothing does. */
    void (*moved)(struct transport *t, struct transport *to);
};

struct transport {
    struct loop_fd io; /* of a transport without a descriptor of its own: fd is -1 */
    bool is_readable,
        is_writable; /* the kernel, or a decrypted buffer, has (room for) bytes, as far as known */
    bool has_hangup; /* RDHUP, HUP, ERR or PRI was reported: a short read says nothing about the next */
    bool is_broken;  /* HUP or ERR: both directions are gone */
    bool is_open, is_shut;
    bool
        ends_with_this; /* what is sent now is the last: its close follows within this turn, in the same segment */
    bool has_sent;      /* a byte was handed to the kernel since the owner last cleared it */
    bool holds_rest; /* send() took more than could be passed on: it is not writable until that is out */
    uint8_t fault;   /* enum end_reason of an IO_FAIL that errno does not name; else END_NONE */
    uint8_t
        overdue; /* enum end_reason of an open() that takes too long, where it is more than a connection; else END_NONE */
    int saved_errno; /* of the last IO_FAIL */
    const char *
        fault_words; /* what more is known of the fault: a clause, of the transport's for as long as it is not closed; NULL */
    struct loop *loop;
    const struct transport_ops *ops; /* never NULL; a closed one has ops that refuse */
    void *own; /* of the ops: a session, a connection that it is a part of; NULL: none */
    void (*on_ready)(struct transport *t);
};

/* Over TCP; over a unix socket; over nothing. */
extern const struct transport_ops transport_plain_ops, transport_local_ops, transport_closed_ops;

/* Over a connected, non-blocking socket; taken. is_local: of AF_UNIX. */
void transport_init_accepted(struct transport *t, struct loop *l, int fd, bool is_local,
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
/* IO_OK: nothing that was sent waits here. A transport that is closed before that loses it. */
static inline enum io transport_flush(struct transport *t)
{
    if (!t->holds_rest) return IO_OK;
    return t->is_writable ? t->ops->flush(t) : IO_AGAIN;
}

/* Asks to be called when something changes; -1 if the kernel refuses the registration (then the transport is
 * to be closed). Costs a system call the first time only. */
MUST_CHECK static inline int transport_wait(struct transport *t)
{
    return t->io.is_registered ? 0 : t->ops->wait(t);
}
/* What an IO_FAIL is called: `reason`, if the transport knows no better. */
static inline enum end_reason transport_fault(const struct transport *t, enum end_reason reason)
{
    return t->fault ? (enum end_reason)t->fault : reason;
}
/* While nothing is under way on it: the peer has closed or reset, or has sent what nobody asked for, whether or not
 * that was read. Not fit for reuse. */
static inline bool transport_is_dead(struct transport *t)
{
    return t->ops->is_dead(t);
}
/* Closes; is_reset: so that the peer gets a reset and not a FIN. Twice is fine. */
void transport_close(struct transport *t, bool is_reset);
/* Moves all that it is to `to`; `from` is closed afterwards. */
MUST_CHECK int transport_move(struct transport *from, struct transport *to,
                              void (*on_ready)(struct transport *));
/* Gives up the descriptor of a plain one, which is closed afterwards. */
MUST_CHECK int transport_take_descriptor(struct transport *t);
static inline bool transport_is_closed(const struct transport *t)
{
    return t->ops == &transport_closed_ops;
}

/* For ops over a descriptor, which do more than the plain ones: what those do. */
void transport_note_events(struct transport *t, uint32_t events);
int transport_register(struct transport *t);
void transport_close_descriptor(struct transport *t, bool is_reset);
