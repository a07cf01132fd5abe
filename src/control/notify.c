#include "control/notify.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS 1000

/* A path, or "@name" in the abstract namespace. */
static int connect_to(const char *path, struct err *err)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    size_t len = strlen(path);
    if ((*path != '/' && *path != '@') || len < 2 || len >= sizeof(a.sun_path))
        return err_set(err, "NOTIFY_SOCKET=%.100s is no path and no @name", path);
    memcpy(a.sun_path, path, len);
    if (*path == '@') a.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return err_set(err, "cannot open a socket for systemd: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) ==
        0)
        return fd;
    err_set(err, "cannot reach NOTIFY_SOCKET %s: %s", path, strerror(errno));
    close(fd);
    return -1;
}

bool notify_watchdog(const char *usec, const char *pid, uint64_t own_pid, uint64_t *ms)
{
    char *end = NULL;
    *ms = 0;
    if (!usec || !*usec || (pid && strtoull(pid, NULL, 10) != own_pid)) return false;
    uint64_t us = strtoull(usec, &end, 10);
    if (*end || us < 2000) return false;
    *ms = us / 2000; /* at half of its time: sd_watchdog_enabled(3) */
    return true;
}

int notify_open(struct notify *n, struct err *err)
{
    const char *path = getenv("NOTIFY_SOCKET");
    *n = (struct notify){ .fd = -1 };
    if (!path || !*path) return 0;
    n->fd = connect_to(path, err);
    if (n->fd < 0) return -1;
    notify_watchdog(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), (uint64_t)getpid(), &n->watchdog_ms);
    return 0;
}

void notify_close(struct notify *n)
{
    if (n->fd >= 0) close(n->fd);
    n->fd = -1;
}

void notify_wait(const struct notify *n)
{
    struct pollfd p = { .fd = n->fd, .events = POLLOUT };
    if (n->fd >= 0 && poll(&p, 1, WAIT_MS) < 0) return; /* a signal: it is said as it is */
}

bool notify_say(struct notify *n, const char *lines, struct err *err)
{
    if (n->fd < 0) return true;
    if (send(n->fd, lines, strlen(lines), MSG_NOSIGNAL) >= 0) {
        n->has_failed = false;
        return true;
    }
    if (n->has_failed || errno == EAGAIN) return true;
    n->has_failed = true;
    err_set(err, "systemd does not hear: %s", strerror(errno));
    return false;
}
