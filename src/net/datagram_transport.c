#include "net/datagram_transport.h"

#include <errno.h>
#include <sys/socket.h>

#include "net/udp_socket.h"

/* One that is shorter than the room says nothing about the next: it is readable until the kernel has none. */
static enum io receive_one(struct transport *t, char *data, size_t len, size_t *got)
{
    ssize_t n = recv(t->io.fd, data, len, MSG_DONTWAIT);
    *got = n > 0 ? (size_t)n : 0;
    if (n >= 0) return IO_OK;
    t->saved_errno = errno;
    if (errno != EAGAIN && errno != EINTR) return IO_FAIL;
    t->is_readable = errno == EINTR;
    return IO_AGAIN;
}

static enum io send_one(struct transport *t, const struct iovec *iov, int count, size_t *sent)
{
    struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
    ssize_t n = sendmsg(t->io.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    *sent = n > 0 ? (size_t)n : 0;
    if (n >= 0) {
        t->has_sent = true;
        return IO_OK;
    }
    t->saved_errno = errno;
    if (errno != EAGAIN && errno != EINTR) return IO_FAIL;
    t->is_writable = errno == EINTR;
    return IO_AGAIN;
}

static enum io open_one(struct transport *t)
{
    t->is_open = true;
    return IO_OK;
}

static enum io shut(struct transport *t)
{
    t->is_shut = true;
    return IO_OK;
}

static bool is_dead(struct transport *t)
{
    return t->is_broken;
}

static void close_it(struct transport *t, bool is_reset)
{
    (void)is_reset;
    transport_close_descriptor(t, false);
}

static const struct transport_ops ops = { .name = "datagrams",
                                          .open = open_one,
                                          .recv = receive_one,
                                          .send = send_one,
                                          .shutdown = shut,
                                          .on_events = transport_note_events,
                                          .is_dead = is_dead,
                                          .wait = transport_register,
                                          .close = close_it };

int datagram_transport_connect(struct transport *t, struct loop *l, const struct address *to,
                               void (*on_ready)(struct transport *))
{
    int fd = udp_socket_connect(to);
    int cause = errno;
    transport_init_accepted(t, l, fd, false, on_ready);
    t->ops = &ops;
    t->is_readable = false;
    if (fd >= 0 && transport_wait(t) == 0) return 0;
    if (fd >= 0) {
        cause = errno;
        transport_close(t, false);
    } else {
        transport_init_closed(t);
    }
    t->saved_errno = cause;
    return -1;
}
