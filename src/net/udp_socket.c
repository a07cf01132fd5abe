#include "net/udp_socket.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <unistd.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

static bool is_any(const struct address *a)
{
    if (a->sa.any.sa_family == AF_INET6) return IN6_IS_ADDR_UNSPECIFIED(&a->sa.in6.sin6_addr);
    return a->sa.in4.sin_addr.s_addr == htonl(INADDR_ANY);
}

void udp_socket_prepare(int fd, const struct address *bind, uint64_t buffer_bytes)
{
    int on = 1, bytes = buffer_bytes < INT32_MAX / 2 ? (int)buffer_bytes : INT32_MAX / 2;
    setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on));
    udp_socket_join(fd);
    if (is_any(bind) && bind->sa.any.sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on));
    else if (is_any(bind))
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
}

uint32_t udp_socket_lost(int fd)
{
    uint32_t info[SK_MEMINFO_VARS] = { 0 };
    socklen_t len = sizeof(info);
    return getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ? 0 : info[SK_MEMINFO_DROPS];
}

int udp_socket_connect(const struct address *server)
{
    int fd = socket(server->sa.any.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -1;
    if (connect(fd, &server->sa.any, server->len) == 0) return fd;
    int cause = errno;
    close(fd);
    errno = cause;
    return -1;
}

void udp_socket_join(int fd)
{
    int on = 1;
    setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
}
