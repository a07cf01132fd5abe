#include "net/socket_set.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net/bind.h"

static int open_set(struct socket_set **out, const struct address *address, const struct bind_use *use,
                    struct err *err)
{
    uint32_t count = use->count;
    struct socket_set *s = calloc(1, sizeof(*s) + count * sizeof(s->fds[0]));
    if (!s) return err_set(err, "out of memory for listening sockets");
    list_init(&s->link);
    s->address = *address;
    s->count = count;
    if (bind_open(address, use, s->fds, err) < 0) {
        free(s);
        return -1;
    }
    *out = s;
    return 0;
}

int socket_set_open(struct socket_set **out, const struct address *address, bool is_http, unsigned defer_s,
                    uint32_t count, struct err *err)
{
    return open_set(out, address, &(struct bind_use){ is_http, defer_s, count, false }, err);
}

int socket_set_open_beside(struct socket_set **out, const struct address *address, bool is_http,
                           unsigned defer_s, uint32_t count, struct err *err)
{
    return open_set(out, address, &(struct bind_use){ is_http, defer_s, count, true }, err);
}

static bool is_any(const struct address *a)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    if (a->sa.any.sa_family == AF_INET6) return memcmp(&a->sa.in6.sin6_addr, &any, sizeof(any)) == 0;
    return a->sa.any.sa_family == AF_INET && a->sa.in4.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool socket_set_overlaps(const struct socket_set *s, const struct address *address)
{
    if (s->address.sa.any.sa_family == AF_UNIX || address->sa.any.sa_family == AF_UNIX) return false;
    if (address_port(&s->address) != address_port(address)) return false;
    return address_equal(&s->address, address) || is_any(&s->address) || is_any(address);
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

/* Drops what has SYN and not ACK: the kernel asks the filter before it looks at a segment for a listening socket. */
void socket_set_leave(const struct socket_set *s)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13), /* the flags: RFC 9293 3.1 */
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0x12),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x02, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
    for (uint32_t i = 0; i < s->count; i++)
        setsockopt(s->fds[i], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
    socket_set_defer(s, false, 0);
}

void socket_set_return(const struct socket_set *s)
{
    int none = 0;
    for (uint32_t i = 0; i < s->count; i++)
        setsockopt(s->fds[i], SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
}

void socket_set_shut(struct socket_set *s)
{
    for (uint32_t i = 0; i < s->count; i++) close(s->fds[i]);
    if (s->count && s->address.sa.any.sa_family == AF_UNIX) unlink(s->address.sa.un.sun_path);
    s->count = 0;
}

void socket_set_close(struct socket_set *s)
{
    if (!s) return;
    list_remove(&s->link);
    socket_set_shut(s);
    free(s);
}
