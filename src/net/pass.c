#include "net/pass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(PASS_FDS_MAX * sizeof(int))];
};

static enum pass failed(void)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) return PASS_AGAIN;
    return errno == EPIPE || errno == ECONNRESET ? PASS_END : PASS_FAILED;
}

enum pass pass_send(int socket, struct slice text, const int *fds, uint32_t fd_count)
{
    union control control = { 0 };
    struct iovec bytes = { (void *)text.data, text.len < PASS_TEXT_MAX ? text.len : PASS_TEXT_MAX };
    struct msghdr m = { .msg_iov = &bytes, .msg_iovlen = 1 };
    if (fd_count) {
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(c), fds, fd_count * sizeof(int));
    }
    ssize_t sent;
    do sent = sendmsg(socket, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? failed() : PASS_OK;
}

static void take_fds(struct pass_message *out, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        size_t bytes = c->cmsg_len - CMSG_LEN(0);
        memcpy(out->fds, CMSG_DATA(c), bytes);
        out->fd_count = (uint32_t)(bytes / sizeof(int));
    }
}

enum pass pass_receive(int socket, struct pass_message *out)
{
    union control control;
    struct iovec bytes = { out->text, PASS_TEXT_MAX };
    struct msghdr m = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control)
    };
    out->fd_count = 0;
    ssize_t got;
    do got = recvmsg(socket, &m, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0) return failed();
    out->text[got] = 0;
    take_fds(out, &m);
    if (got == 0 && !out->fd_count) return PASS_END;
    if (!(m.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) return PASS_OK;
    pass_close_fds(out);
    errno = EMSGSIZE;
    return PASS_FAILED;
}

void pass_close_fds(struct pass_message *m)
{
    for (uint32_t i = 0; i < m->fd_count; i++) close(m->fds[i]);
    m->fd_count = 0;
}

bool pass_is_own_user(int socket)
{
    struct ucred peer;
    socklen_t len = sizeof(peer);
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 && peer.uid == geteuid();
}
