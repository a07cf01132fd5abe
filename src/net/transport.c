#include "net/transport.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bug.h"

/* libc's recv() and send() are cancellation points, which costs each call some 1 % of the whole in a program with
 * threads; nothing here is ever cancelled. */
static ssize_t receive(int fd, void *data, size_t len, int flags)
{
    return syscall(SYS_recvfrom, fd, data, len, flags, NULL, NULL);
}

#define HANGUP (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)

static enum io fail(struct transport *t)
{
    t->saved_errno = errno;
    return IO_FAIL;
}

static enum io plain_open(struct transport *t)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(t->io.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0) return fail(t);
    if (error) {
        t->saved_errno = error;
        return IO_FAIL;
    }
    if (!t->is_writable) return IO_AGAIN;
    t->is_open = true;
    return IO_OK;
}

static enum io received(struct transport *t, ssize_t n, size_t asked, size_t *got)
{
    if (n > 0) {
        *got = (size_t)n;
        /* An edge that brought data and the end together is not repeated: then a short read is not the last. */
        if ((size_t)n < asked && !t->has_hangup) t->is_readable = false;
        return IO_OK;
    }
    *got = 0;
    /* Nothing read into no room is not the peer's end. */
    if (n == 0) return bug_if(TRANSPORT, !asked) ? IO_AGAIN : IO_EOF;
    if (errno == EAGAIN || errno == EINTR) {
        t->is_readable = false;
        return IO_AGAIN;
    }
    return fail(t);
}

static enum io plain_recv(struct transport *t, char *data, size_t len, size_t *got)
{
    return received(t, receive(t->io.fd, data, len, 0), len, got);
}

static enum io plain_peek(struct transport *t, char *data, size_t len, size_t *got)
{
    return received(t, receive(t->io.fd, data, len, MSG_PEEK), len, got);
}

static enum io plain_drop(struct transport *t, size_t len)
{
    while (len) {
        /* With MSG_TRUNC the kernel throws the bytes away without copying them (tcp(7)). */
        ssize_t n = receive(t->io.fd, NULL, len, MSG_TRUNC);
        if (n < 0 && errno == EINTR) continue;
        /* It was looked at: it is there unless the connection is broken. */
        if (bug_if(TRANSPORT, n == 0)) errno = EPROTO;
        if (n <= 0) return fail(t);
        len -= (size_t)n;
    }
    return IO_OK;
}

static enum io plain_send(struct transport *t, const struct iovec *iov, int count, size_t *sent)
{
    size_t asked = 0;
    for (int i = 0; i < count; i++) asked += iov[i].iov_len;
    /* Held by the kernel until the FIN goes with it: one segment less for each connection. */
    int flags = MSG_NOSIGNAL | (t->ends_with_this ? MSG_MORE : 0);
    ssize_t n;
    if (count == 1) {
        n = syscall(SYS_sendto, t->io.fd, iov[0].iov_base, iov[0].iov_len, flags, NULL, 0);
    } else {
        struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
        n = syscall(SYS_sendmsg, t->io.fd, &message, flags);
    }
    if (n >= 0) {
        *sent = (size_t)n;
        if (n > 0)
            t->has_sent = true;
        else if (bug_if(TRANSPORT, !asked)) /* for ever, if whoever sends it waits until it is out */
            t->is_writable = false;
        if ((size_t)n < asked) t->is_writable = false;
        return IO_OK;
    }
    *sent = 0;
    if (errno == EAGAIN || errno == EINTR) {
        t->is_writable = false;
        return IO_AGAIN;
    }
    return fail(t);
}

static enum io plain_shutdown(struct transport *t)
{
    if (t->is_shut) return IO_OK;
    t->is_shut = true;
    return shutdown(t->io.fd, SHUT_WR) < 0 ? fail(t) : IO_OK;
}

void transport_note_events(struct transport *t, uint32_t events)
{
    if (events & (EPOLLIN | HANGUP)) t->is_readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) t->is_writable = true;
    if (events & HANGUP) t->has_hangup = true;
    if (events & (EPOLLHUP | EPOLLERR)) t->is_broken = true;
}

/* What was reported in this turn and not served yet counts too. */
static bool plain_is_dead(struct transport *t)
{
    if (t->io.pending & EPOLLRDHUP) t->has_hangup = true;
    return t->has_hangup || t->is_readable || (t->io.pending & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

int transport_register(struct transport *t)
{
    return loop_fd_register(t->loop, &t->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP);
}

void transport_close_descriptor(struct transport *t, bool is_reset)
{
    if (is_reset) {
        struct linger linger = { .l_onoff = 1 };
        setsockopt(t->io.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    }
    loop_fd_close(t->loop, &t->io);
}

const struct transport_ops transport_plain_ops = {
    .name = "plain",
    .open = plain_open,
    .recv = plain_recv,
    .send = plain_send,
    .peek = plain_peek,
    .drop = plain_drop,
    .shutdown = plain_shutdown,
    .on_events = transport_note_events,
    .is_dead = plain_is_dead,
    .wait = transport_register,
    .close = transport_close_descriptor,
};

/* Between processes of one host the kernel cannot throw away what it has shown: MSG_TRUNC copies as ever (unix(7)). */
const struct transport_ops transport_local_ops = {
    .name = "local",
    .open = plain_open,
    .recv = plain_recv,
    .send = plain_send,
    .shutdown = plain_shutdown,
    .on_events = transport_note_events,
    .is_dead = plain_is_dead,
    .wait = transport_register,
    .close = transport_close_descriptor,
};

/* closed */

static enum io refuse(struct transport *t)
{
    t->saved_errno = EBADF;
    return IO_FAIL;
}

/* Whoever opens or ends what is closed has lost count of it. */
static enum io closed_open(struct transport *t)
{
    (void)bug_if(TRANSPORT, transport_is_closed(t));
    return refuse(t);
}

static enum io closed_recv(struct transport *t, char *data, size_t len, size_t *got)
{
    (void)data, (void)len;
    *got = 0;
    return refuse(t);
}

static enum io closed_send(struct transport *t, const struct iovec *iov, int count, size_t *sent)
{
    (void)iov, (void)count;
    *sent = 0;
    return refuse(t);
}

static enum io closed_drop(struct transport *t, size_t len)
{
    (void)len;
    return refuse(t);
}

static void closed_on_events(struct transport *t, uint32_t events)
{
    (void)t, (void)events;
}

static bool closed_is_dead(struct transport *t)
{
    (void)t;
    return true;
}

static int closed_wait(struct transport *t)
{
    errno = t->saved_errno = EBADF;
    return -1;
}

static void closed_close(struct transport *t, bool is_reset)
{
    (void)t, (void)is_reset;
}

const struct transport_ops transport_closed_ops = {
    .name = "closed",
    .open = closed_open,
    .recv = closed_recv,
    .send = closed_send,
    .flush = refuse,
    .peek = closed_recv,
    .drop = closed_drop,
    .shutdown = closed_open,
    .on_events = closed_on_events,
    .is_dead = closed_is_dead,
    .wait = closed_wait,
    .close = closed_close,
};

static void become_closed(struct transport *t)
{
    t->ops = &transport_closed_ops;
    t->own = NULL;
    t->is_open = t->is_readable = t->is_writable = t->holds_rest = false;
}

static void on_fd_ready(struct loop_fd *f, uint32_t events)
{
    struct transport *t = container_of(f, struct transport, io);
    t->ops->on_events(t, events);
    /* What waits here goes first. If that fails, whoever sends next hears of it. */
    if (t->holds_rest && t->is_writable) (void)t->ops->flush(t);
    /* Moved, and nobody said who is to hear of it: what it is ready for stands, and its owner's time-outs end it. */
    if (bug_if(TRANSPORT, !t->on_ready)) return;
    t->on_ready(t);
}

static void init(struct transport *t, struct loop *l, int fd, bool is_local,
                 void (*on_ready)(struct transport *))
{
    *t = (struct transport){
        .io = { .fd = fd, .on_ready = on_fd_ready },
        .loop = l,
        .ops = is_local ? &transport_local_ops : &transport_plain_ops,
        .on_ready = on_ready,
    };
}

void transport_init_closed(struct transport *t)
{
    *t = (struct transport){ .io = { .fd = -1 }, .ops = &transport_closed_ops };
}

void transport_init_accepted(struct transport *t, struct loop *l, int fd, bool is_local,
                             void (*on_ready)(struct transport *))
{
    init(t, l, fd, is_local, on_ready);
    t->is_readable = t->is_writable = t->is_open = true;
}

/* The port is chosen at connect, when the other end is known: so one local port serves many targets (ip(7)). */
static int leave_by(int fd, const struct address *local)
{
    int on = 1;
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
    return bind(fd, &local->sa.any, local->len);
}

int transport_connect(struct transport *t, struct loop *l, const struct address *to,
                      const struct address *local, void (*on_ready)(struct transport *))
{
    bool is_local = to->sa.any.sa_family == AF_UNIX;
    int fd = socket(to->sa.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    init(t, l, fd, is_local, on_ready);
    if (fd < 0) {
        t->saved_errno = errno;
        transport_close(t, false);
        return -1;
    }
    int on = 1;
    if (!is_local) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (local && leave_by(fd, local) < 0) {
        t->saved_errno = errno;
        transport_close(t, false);
        return -1;
    }
    if (connect(fd, &to->sa.any, to->len) == 0) {
        t->is_open = t->is_writable = true;
    } else if (errno != EINPROGRESS) {
        /* A unix socket with a full backlog says EAGAIN: that is a refusal as well. */
        t->saved_errno = errno == EAGAIN ? ECONNREFUSED : errno;
        transport_close(t, false);
        return -1;
    }
    if (transport_wait(t) < 0) {
        t->saved_errno = errno;
        transport_close(t, false);
        return -1;
    }
    return 0;
}

enum io transport_open(struct transport *t)
{
    return t->is_open ? IO_OK : t->ops->open(t);
}

enum io transport_recv(struct transport *t, char *data, size_t len, size_t *got)
{
    *got = 0;
    if (!t->is_readable) return IO_AGAIN;
    return t->ops->recv(t, data, len, got);
}

enum io transport_send(struct transport *t, const struct iovec *iov, int count, size_t *sent)
{
    *sent = 0;
    if (!t->is_writable) return IO_AGAIN;
    return t->ops->send(t, iov, count, sent);
}

enum io transport_shutdown(struct transport *t)
{
    return t->ops->shutdown(t);
}

void transport_close(struct transport *t, bool is_reset)
{
    t->ops->close(t, is_reset);
    become_closed(t);
}

int transport_take_descriptor(struct transport *t)
{
    int fd = t->io.fd;
    (void)bug_if(TRANSPORT, t->own || t->holds_rest); /* what it has of its own would be lost */
    loop_fd_forget(t->loop, &t->io);
    become_closed(t);
    return fd;
}

int transport_move(struct transport *from, struct transport *to, void (*on_ready)(struct transport *))
{
    bool was_registered = from->io.is_registered;
    if (bug_if(TRANSPORT, transport_is_closed(from))) {
        transport_init_closed(to);
        return -1;
    }
    *to = *from;
    to->io.on_ready = on_fd_ready;
    to->io.is_registered = false;
    to->on_ready = on_ready;
    if (to->ops->moved) to->ops->moved(from, to);
    if (from->io.fd >= 0) loop_fd_forget(from->loop, &from->io);
    become_closed(from);
    /* Registered anew, so that events carry the new place; the first report repeats what is ready now. */
    return was_registered ? transport_wait(to) : 0;
}
