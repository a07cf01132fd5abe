#include "net/socket_set.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/bind.h"

int socket_set_open(struct socket_set **out, const struct address *address, bool is_http, unsigned defer_s,
                    uint32_t count, struct err *err)
{
    struct socket_set *s = calloc(1, sizeof(*s) + count * sizeof(s->fds[0]));
    if (!s) return err_set(err, "out of memory for listening sockets");
    list_init(&s->link);
    s->address = *address;
    s->count = count;
    if (bind_open(address, is_http, defer_s, s->fds, count, err) < 0) {
        free(s);
        return -1;
    }
    *out = s;
    return 0;
}

void socket_set_defer(const struct socket_set *s, bool is_http, unsigned defer_s)
{
    int seconds = is_http ? (int)defer_s : 0;
    if (s->address.sa.any.sa_family == AF_UNIX) return;
    for (uint32_t i = 0; i < s->count; i++)
        setsockopt(s->fds[i], IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds));
}

int socket_set_share(const struct socket_set *s, uint32_t index, struct err *err)
{
    int fd = fcntl(s->fds[index], F_DUPFD_CLOEXEC, 0);
    return fd < 0 ? err_set(err, "cannot share a listening socket: %s", strerror(errno)) : fd;
}

void socket_set_close(struct socket_set *s)
{
    if (!s) return;
    list_remove(&s->link);
    for (uint32_t i = 0; i < s->count; i++) close(s->fds[i]);
    if (s->address.sa.any.sa_family == AF_UNIX) unlink(s->address.sa.un.sun_path);
    free(s);
}
