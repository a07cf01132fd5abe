#include "net/bind.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BACKLOG 65535 /* the kernel takes the smaller of this and net.core.somaxconn */
/* What one connection moves in a turn of the loop (LOOP_TURN_BYTES): it goes in one call. With half of that, bodies of 1 MiB took a
 * fifth more CPU. */
#define UNSENT_MAX (256 * 1024)

static int failed(const struct address *a, int fd, const char *what, struct err *err)
{
    char text[ADDRESS_TEXT_MAX];
    int cause = errno;
    if (fd >= 0) close(fd);
    address_print(a, text);
    const char *remedy = "";
    bool is_unix = a->sa.any.sa_family == AF_UNIX;
    if (cause == EADDRINUSE)
        remedy = is_unix ? "; another program listens there: stop it or choose another path"
                         : "; another program listens there: stop it or choose another port";
    if (cause == EACCES)
        remedy = is_unix ? "; its directory must be writable for the user that weir runs as"
                         : "; ports below 1024 need root or CAP_NET_BIND_SERVICE";
    if (cause == EEXIST)
        remedy = "; a file that is no socket is in the way: remove it or choose another path";
    if (cause == EADDRNOTAVAIL) remedy = "; no interface of this machine has that address";
    err_set(err, "cannot %s %s: %s%s", what, text, strerror(cause), remedy);
    errno = cause;
    return -1;
}

/* A socket file that nobody listens on any more is in the way; a live one is not to be taken over. */
static int clear_path(const struct address *a, struct err *err)
{
    struct stat st;
    if (stat(a->sa.un.sun_path, &st) < 0) return 0;
    if (!S_ISSOCK(st.st_mode)) {
        errno = EEXIST;
        return failed(a, -1, "listen on", err);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(a, -1, "listen on", err);
    int answer = connect(fd, &a->sa.any, a->len);
    close(fd);
    if (answer == 0) {
        errno = EADDRINUSE;
        return failed(a, -1, "listen on", err);
    }
    unlink(a->sa.un.sun_path);
    return 0;
}

/* Of workers: the kernel gives each client's datagrams to one of them, by a hash of both addresses. */
static int open_udp(const struct address *a, struct err *err)
{
    int on = 1;
    int off = 0;
    int family = a->sa.any.sa_family;
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(a, -1, "open a socket for", err);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, &a->sa.any, a->len) < 0) return failed(a, fd, "take datagrams on", err);
    return fd;
}

void bind_set_accepted(int fd)
{
    int on = 1;
    int unsent = UNSENT_MAX;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
}

static int open_one(const struct address *a, const struct bind_use *use, struct err *err)
{
    int on = 1;
    int off = 0;
    int family = a->sa.any.sa_family;
    if (use->is_udp) return open_udp(a, err);
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(a, -1, "open a socket for", err);
    if (family == AF_UNIX) {
        if (clear_path(a, err) < 0) {
            close(fd);
            return -1;
        }
    } else {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        bind_set_accepted(fd);
        if (use->is_http) setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &use->defer_s, sizeof(use->defer_s));
        /* ":80" means both families. */
        if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    }
    if (bind(fd, &a->sa.any, a->len) < 0) return failed(a, fd, "listen on", err);
    if (listen(fd, BACKLOG) < 0) return failed(a, fd, "listen on", err);
    return fd;
}

/* SO_REUSEPORT would share the port with another program of the same user in silence: look first. For datagrams
 * SO_REUSEADDR would do that too. */
static int is_free(const struct address *a, bool is_udp, struct err *err)
{
    int family = a->sa.any.sa_family;
    if (family == AF_UNIX || address_port(a) == 0) return 0;
    int on = 1;
    int off = 0;
    int fd = socket(family, (is_udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (fd < 0) return failed(a, -1, "open a socket for", err);
    if (!is_udp) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if (bind(fd, &a->sa.any, a->len) < 0) return failed(a, fd, "listen on", err);
    close(fd);
    return 0;
}

int bind_open(const struct address *bind, const struct bind_use *use, int *fds, struct err *err)
{
    uint32_t count = use->count;
    for (uint32_t i = 0; i < count; i++) fds[i] = -1;
    if (!use->is_ours && is_free(bind, use->is_udp, err) < 0) return -1;
    for (uint32_t i = 0; i < count; i++) {
        bool is_shared = bind->sa.any.sa_family == AF_UNIX && i > 0;
        fds[i] = is_shared ? dup(fds[0]) : open_one(bind, use, err);
        if (fds[i] < 0) {
            int cause = errno;
            for (uint32_t j = 0; j < i; j++) close(fds[j]);
            errno = cause;
            return is_shared ? err_set(err, "cannot share a socket: %s", strerror(errno)) : -1;
        }
    }
    return 0;
}
