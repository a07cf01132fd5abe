#include "record/access_socket.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

#define OUTBOX_BYTES (512u << 10)
#define WAIT_MIN_NS (100 * NS_PER_MS)
#define WAIT_MAX_NS (5 * NS_PER_S)
#define CONNECT_NS (5 * NS_PER_S)
/* After so long without a sign of the server's kernel a connection is given up. */
#define SILENCE_MS 30000
#define KEEPALIVE_S 20
#define BATCH 64u
/* What the other side says is of no interest; so much of it a time. */
#define HEARD_BYTES 4096u
#define HEARD_TIMES 16

static void prepare_tcp(int fd)
{
    const int on = 1, silence_ms = SILENCE_MS, keepalive_s = KEEPALIVE_S;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silence_ms, sizeof(silence_ms));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_s, sizeof(keepalive_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

/* Before there is anybody to connect to, so that weir comes back also when descriptors have become scarce. */
static void make_socket(struct access_socket *s)
{
    s->fd = socket(s->to.sa.any.sa_family,
                   (s->is_tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd >= 0 && s->is_tcp) prepare_tcp(s->fd);
}

int access_socket_init(struct access_socket *s, const struct address *to, bool is_tcp, struct err *err)
{
    *s = (struct access_socket){ .to = *to, .is_tcp = is_tcp, .fd = -1 };
    make_socket(s);
    return access_outbox_init(&s->box, OUTBOX_BYTES, err);
}

void access_socket_fini(struct access_socket *s)
{
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
    access_outbox_fini(&s->box);
}

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* connecting */

/* Of messages that the connection had in part or whole, none is known to have arrived. */
static void forget_connection(struct access_socket *s)
{
    uint32_t n = 0;
    for (uint32_t at = 0; at < s->sent; at += access_outbox_len(&s->box, n++)) {}
    count(&s->repeated, n);
    s->sent = 0;
    if (s->fd >= 0) close(s->fd);
    make_socket(s);
}

static enum access_sent be_away(struct access_socket *s, uint64_t now_ns, const char *trouble)
{
    forget_connection(s);
    s->wait_ns = s->wait_ns ? 2 * s->wait_ns : WAIT_MIN_NS;
    if (s->wait_ns > WAIT_MAX_NS) s->wait_ns = WAIT_MAX_NS;
    s->again_ns = now_ns + s->wait_ns;
    s->state = ACCESS_AWAY;
    snprintf(s->trouble, sizeof(s->trouble), "%s", trouble);
    atomic_store_explicit(&s->is_reached, false, memory_order_relaxed);
    return ACCESS_SENT_AWAY;
}

static enum access_sent fail(struct access_socket *s, uint64_t now_ns)
{
    if (errno == EPROTOTYPE) return be_away(s, now_ns, "that socket takes no datagrams");
    return be_away(s, now_ns, strerror(errno));
}

static void be_up(struct access_socket *s)
{
    s->state = ACCESS_UP;
    s->wait_ns = 0;
    s->trouble[0] = 0;
    atomic_store_explicit(&s->is_reached, true, memory_order_relaxed);
}

static enum access_sent begin_connecting(struct access_socket *s, uint64_t now_ns)
{
    if (s->fd < 0) make_socket(s);
    if (s->fd < 0) return fail(s, now_ns);
    s->since_ns = now_ns;
    if (connect(s->fd, &s->to.sa.any, s->to.len) < 0) {
        if (errno != EINPROGRESS) return fail(s, now_ns);
        s->state = ACCESS_CONNECTING;
        return ACCESS_SENT_FULL;
    }
    /* Of UDP that says nothing yet: after trouble one datagram goes out and is waited for. */
    bool is_unsure = s->to.sa.any.sa_family != AF_UNIX && !s->is_tcp && s->wait_ns;
    if (is_unsure)
        s->state = ACCESS_UNSURE;
    else
        be_up(s);
    return ACCESS_SENT;
}

static int error_of(int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

static enum access_sent go_on_connecting(struct access_socket *s, uint64_t now_ns)
{
    struct pollfd p = { .fd = s->fd, .events = POLLOUT };
    if (poll(&p, 1, 0) <= 0)
        return now_ns - s->since_ns < CONNECT_NS ? ACCESS_SENT_FULL
                                                 : be_away(s, now_ns, "it does not answer within 5 s");
    if ((errno = error_of(s->fd))) return fail(s, now_ns);
    be_up(s);
    return ACCESS_SENT;
}

/* TCP */

/* False: nobody reads any more. */
static bool hear(int fd)
{
    char memory[HEARD_BYTES];
    for (int i = 0; i < HEARD_TIMES; i++) {
        ssize_t n = recv(fd, memory, sizeof(memory), MSG_DONTWAIT);
        if (n == 0) errno = ECONNRESET;
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
    }
    return true;
}

/* What the server's kernel has confirmed is done with. */
static void forget_confirmed(struct access_socket *s)
{
    int open = 0;
    uint32_t n = 0, done = 0;
    if (!s->sent || ioctl(s->fd, SIOCOUTQ, &open) < 0 || open < 0) return;
    uint32_t confirmed = (uint32_t)open < s->sent ? s->sent - (uint32_t)open : 0;
    while (n < s->box.count && done + access_outbox_len(&s->box, n) <= confirmed)
        done += access_outbox_len(&s->box, n++);
    access_outbox_remove(&s->box, n);
    s->sent -= done;
}

static enum access_sent send_stream(struct access_socket *s, uint64_t now_ns)
{
    if (!hear(s->fd)) return fail(s, now_ns);
    forget_confirmed(s);
    struct slice all = access_outbox_all(&s->box);
    while (s->sent < all.len) {
        ssize_t n = send(s->fd, all.data + s->sent, all.len - s->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return ACCESS_SENT_FULL;
        if (n < 0) return fail(s, now_ns);
        s->sent += (uint32_t)n;
        count(&s->sent_bytes, (uint64_t)n);
    }
    forget_confirmed(s);
    return ACCESS_SENT;
}

/* datagrams */

static int send_batch(const struct access_socket *s, uint32_t max)
{
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    char *at = s->box.data + s->box.begin;
    uint32_t n = s->box.count < max ? s->box.count : max;
    memset(messages, 0, n * sizeof(*messages));
    for (uint32_t i = 0; i < n; i++) {
        parts[i] = (struct iovec){ at, access_outbox_len(&s->box, i) };
        messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
        at += parts[i].iov_len;
    }
    return sendmmsg(s->fd, messages, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void be_done_with(struct access_socket *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) count(&s->sent_bytes, access_outbox_len(&s->box, i));
    access_outbox_remove(&s->box, n);
}

/* It is longer than the socket takes. */
static void lose_first(struct access_socket *s)
{
    count(&s->lost, 1);
    access_outbox_remove(&s->box, 1);
}

static enum access_sent fail_datagram(struct access_socket *s, uint64_t now_ns)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) return ACCESS_SENT_FULL;
    if (errno == ENOBUFS || errno == ENOMEM) return ACCESS_SENT_SLOW;
    /* UDP tells of the one before; of a unix socket this one was not taken, and waits. */
    if (errno == ECONNREFUSED && s->to.sa.any.sa_family != AF_UNIX) count(&s->lost, 1);
    return fail(s, now_ns);
}

static enum access_sent send_datagrams(struct access_socket *s, uint64_t now_ns)
{
    while (s->box.count) {
        int n = send_batch(s, BATCH);
        if (n > 0) {
            be_done_with(s, (uint32_t)n);
        } else if (n < 0 && errno == EMSGSIZE) {
            lose_first(s);
        } else if (n < 0 && errno != EINTR) {
            return fail_datagram(s, now_ns);
        }
    }
    return ACCESS_SENT;
}

/* One goes out, and if within a moment nobody refuses it, the others do. */
static enum access_sent send_first(struct access_socket *s, uint64_t now_ns)
{
    if (s->again_ns > now_ns) return ACCESS_SENT_AWAY; /* it is out */
    if ((errno = error_of(s->fd))) return fail_datagram(s, now_ns);
    if (s->again_ns) {
        be_up(s);
        return ACCESS_SENT;
    }
    int n = send_batch(s, 1);
    if (n < 0 && errno == EMSGSIZE) {
        lose_first(s);
        return ACCESS_SENT_SLOW;
    }
    if (n < 0) return fail_datagram(s, now_ns);
    be_done_with(s, 1);
    s->again_ns = now_ns + WAIT_MIN_NS;
    return ACCESS_SENT_AWAY;
}

enum access_sent access_socket_send(struct access_socket *s, uint64_t now_ns)
{
    enum access_sent result = ACCESS_SENT;
    if (s->state == ACCESS_AWAY) {
        if (now_ns < s->again_ns) return ACCESS_SENT_AWAY;
        s->again_ns = 0;
        result = begin_connecting(s, now_ns);
    } else if (s->state == ACCESS_CONNECTING) {
        result = go_on_connecting(s, now_ns);
    }
    if (result == ACCESS_SENT && s->state == ACCESS_UNSURE && s->box.count) result = send_first(s, now_ns);
    if (result != ACCESS_SENT || s->state != ACCESS_UP) return result;
    return s->is_tcp ? send_stream(s, now_ns) : send_datagrams(s, now_ns);
}

void access_socket_again(struct access_socket *s)
{
    bool is_good = s->is_tcp && s->state == ACCESS_UP;
    if (is_good) return;
    forget_connection(s);
    s->state = ACCESS_AWAY;
    s->again_ns = 0;
    s->wait_ns = 0;
}
