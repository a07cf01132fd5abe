#include "net/socket_set.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "net/bind.h"
#include "net/offer.h"

static struct socket_set *make(const struct address *address, uint32_t count, struct err *err)
{
    struct socket_set *s = calloc(1, sizeof(*s) + count * sizeof(s->fds[0]));
    if (!s) {
        err_set(err, "out of memory for listening sockets");
        return NULL;
    }
    list_init(&s->link);
    s->address = *address;
    s->count = count;
    return s;
}

static void close_fds(struct socket_set *s)
{
    for (uint32_t i = 0; i < s->count; i++) close(s->fds[i]);
    s->count = 0;
}

static int open_given(struct socket_set **out, const struct address *address, const struct socket_use *use,
                      struct socket_store *given, struct err *err)
{
    uint32_t had = socket_store_count(given, address, use->is_udp);
    uint32_t count = had > use->count || use->is_udp ? had : use->count;
    struct socket_set *s = make(address, count, err);
    if (!s) return -1;
    s->is_udp = use->is_udp;
    s->keeps_path = socket_store_take(given, address, use->is_udp, s->fds);
    for (s->count = had; s->count < count; s->count++) {
        s->fds[s->count] = fcntl(s->fds[s->count % had], F_DUPFD_CLOEXEC, 0);
        if (s->fds[s->count] >= 0) continue;
        err_set(err, "cannot share a listening socket: %s", strerror(errno));
        close_fds(s);
        free(s);
        return -1;
    }
    if (address->sa.any.sa_family != AF_UNIX && !s->is_udp)
        for (uint32_t i = 0; i < had; i++) bind_set_accepted(s->fds[i]);
    socket_set_defer(s, use->is_http, use->defer_s);
    *out = s;
    return 0;
}

static int open_new(struct socket_set **out, const struct address *address, const struct socket_use *use,
                    struct err *err)
{
    struct socket_set *s = make(address, use->count, err);
    const struct bind_use bind_use = { use->is_http, use->defer_s, use->count, use->is_beside, use->is_udp };
    if (!s) return -1;
    s->is_udp = use->is_udp;
    if (bind_open(address, &bind_use, s->fds, err) < 0) {
        int cause = errno;
        free(s);
        errno = cause;
        return -1;
    }
    *out = s;
    return 0;
}

static int open_shared(struct socket_set **out, const struct address *address, const struct socket_use *use,
                       struct err *err)
{
    char at[ADDRESS_TEXT_MAX];
    struct socket_store offered = { 0 };
    int result = -1;
    if (offer_ask(address, use->is_udp, &offered) && socket_store_count(&offered, address, use->is_udp))
        result = open_given(out, address, use, &offered, err);
    socket_store_fini(&offered);
    if (result == 0) (*out)->was_shared = true;
    if (result == 0)
        log_event(LOG_WARN, "port_shared",
                  "bind=%s note=\"another weir of the same user listens there, too, and gets its part of the "
                  "connections\"",
                  address_print(address, at));
    return result;
}

int socket_set_open(struct socket_set **out, const struct address *address, const struct socket_use *use,
                    struct err *err)
{
    if (use->given && socket_store_count(use->given, address, use->is_udp))
        return open_given(out, address, use, use->given, err);
    /* Beside sockets of our own that are on their way out new ones could be opened, also where another weir listens. */
    bool may_be_shared = address->sa.any.sa_family != AF_UNIX;
    if (use->is_beside && may_be_shared && open_shared(out, address, use, err) == 0) return 0;
    if (open_new(out, address, use, err) == 0) return 0;
    may_be_shared = may_be_shared && errno == EADDRINUSE && !use->is_beside;
    return may_be_shared ? open_shared(out, address, use, err) : -1;
}

void socket_set_offer(struct socket_set *s, struct loop *l)
{
    struct err err;
    char quoted[ERR_TEXT_MAX + 64], at[ADDRESS_TEXT_MAX];
    if (s->offer || !s->count || s->address.sa.any.sa_family == AF_UNIX || !address_port(&s->address)) return;
    if (offer_open(&s->offer, l, s, &err) == 0) return;
    log_event(LOG_WARN, "port_not_offered", "bind=%s error=%s", address_print(&s->address, at),
              log_quote(err.text, quoted, sizeof(quoted)));
}

bool socket_set_is_shared(const struct socket_set *s)
{
    return s->was_shared || offer_is_taken(s->offer);
}

static bool is_any(const struct address *a)
{
    static const struct in6_addr any = IN6ADDR_ANY_INIT;
    if (a->sa.any.sa_family == AF_INET6) return memcmp(&a->sa.in6.sin6_addr, &any, sizeof(any)) == 0;
    return a->sa.any.sa_family == AF_INET && a->sa.in4.sin_addr.s_addr == htonl(INADDR_ANY);
}

bool socket_set_overlaps(const struct socket_set *s, const struct address *address, bool is_udp)
{
    if (s->is_udp != is_udp) return false;
    if (s->address.sa.any.sa_family == AF_UNIX || address->sa.any.sa_family == AF_UNIX) return false;
    if (address_port(&s->address) != address_port(address)) return false;
    return address_equal(&s->address, address) || is_any(&s->address) || is_any(address);
}

void socket_set_defer(const struct socket_set *s, bool is_http, unsigned defer_s)
{
    int seconds = is_http ? (int)defer_s : 0;
    if (s->address.sa.any.sa_family == AF_UNIX || s->is_udp) return;
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
    if (s->is_udp) return;
    for (uint32_t i = 0; i < s->count; i++)
        setsockopt(s->fds[i], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
    socket_set_defer(s, false, 0);
}

void socket_set_return(const struct socket_set *s)
{
    int none = 0;
    if (s->is_udp) return;
    for (uint32_t i = 0; i < s->count; i++)
        setsockopt(s->fds[i], SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(none));
}

void socket_set_shut(struct socket_set *s)
{
    bool has_path = s->count && s->address.sa.any.sa_family == AF_UNIX;
    if (has_path && !s->keeps_path) unlink(s->address.sa.un.sun_path);
    offer_close(s->offer);
    s->offer = NULL;
    close_fds(s);
}

void socket_set_close(struct socket_set *s)
{
    if (!s) return;
    list_remove(&s->link);
    socket_set_shut(s);
    free(s);
}
