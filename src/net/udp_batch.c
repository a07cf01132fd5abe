#include "net/udp_batch.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "base/bug.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

/* A datagram's length field has 16 bits. */
#define DATAGRAM_MAX 65536u
/* From one slot's data to the next's: no power of two, so that their beginnings do not all fall into the same cache sets. */
#define STRIDE (DATAGRAM_MAX + 4096u + 192u)
/* What one message to be cut into segments may have: the kernel takes 64, and what fits one datagram of IP. */
#define SEGMENTS_MAX 64u
#define SEGMENTED_MAX 65000u

union control {
    struct cmsghdr header; /* for its alignment */
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(struct in_pktinfo)) +
               2 * CMSG_SPACE(sizeof(uint32_t))];
};

struct udp_batch_room {
    struct mmsghdr messages[UDP_BATCH];
    struct iovec vectors[UDP_BATCH];
    union control controls[UDP_BATCH];
    bool is_one_by_one; /* the kernel does not cut what is sent */
};

struct udp_batch *udp_batch_new(void)
{
    struct udp_batch *b = calloc(1, sizeof(*b));
    struct udp_batch_room *room = calloc(1, sizeof(*room));
    void *memory = mmap(NULL, (size_t)UDP_BATCH * STRIDE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (!b || !room || memory == MAP_FAILED) {
        if (memory != MAP_FAILED) munmap(memory, (size_t)UDP_BATCH * STRIDE);
        free(room);
        free(b);
        return NULL;
    }
    b->room = room;
    for (uint32_t i = 0; i < UDP_BATCH; i++) b->slots[i].data = (char *)memory + (size_t)i * STRIDE;
    return b;
}

void udp_batch_free(struct udp_batch *b)
{
    if (!b) return;
    munmap(b->slots[0].data, (size_t)UDP_BATCH * STRIDE);
    free(b->room);
    free(b);
}

struct address udp_flow_address(const struct udp_flow *f)
{
    struct address a = { .len = f->peer_len };
    memcpy(&a.sa, &f->peer, sizeof(f->peer));
    return a;
}

/* receiving */

static uint32_t number_in(const struct cmsghdr *c)
{
    uint32_t value;
    memcpy(&value, CMSG_DATA(c), sizeof(value));
    return value;
}

/* ::ffff:a.b.c.d */
static struct in6_addr mapped(struct in_addr a)
{
    struct in6_addr out = { 0 };
    out.s6_addr[10] = out.s6_addr[11] = 0xff;
    memcpy(out.s6_addr + 12, &a, sizeof(a));
    return out;
}

static void read_control(struct udp_batch *b, struct udp_slot *s, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            s->flow.local = mapped(info.ipi_spec_dst);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof(info));
            s->flow.local = info.ipi6_addr;
        } else if (c->cmsg_level == SOL_UDP && c->cmsg_type == UDP_GRO) {
            s->segment = number_in(c);
        } else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            b->lost = number_in(c);
            b->is_lost_said = true;
        }
    }
}

static void take(struct udp_batch *b, uint32_t i)
{
    struct udp_slot *s = &b->slots[i];
    struct mmsghdr *m = &b->room->messages[i];
    s->len = m->msg_len;
    s->segment = 0;
    s->flow.peer_len = m->msg_hdr.msg_namelen;
    memset(&s->flow.local, 0, sizeof(s->flow.local));
    if (s->flow.peer.any.sa_family == AF_INET6) s->flow.peer.in6.sin6_flowinfo = 0;
    read_control(b, s, &m->msg_hdr);
    if (s->segment >= s->len) s->segment = 0;
}

enum io udp_batch_receive(struct udp_batch *b, int fd, uint32_t first, uint32_t most, uint32_t *count)
{
    struct udp_batch_room *room = b->room;
    *count = 0;
    if (bug_if(UDP, !most || first + most > UDP_BATCH)) return IO_AGAIN; /* beyond its slots */
    for (uint32_t i = first; i < first + most; i++) {
        struct udp_slot *s = &b->slots[i];
        memset(&s->flow, 0, sizeof(s->flow));
        room->vectors[i] = (struct iovec){ s->data, DATAGRAM_MAX };
        room->messages[i].msg_hdr = (struct msghdr){ .msg_name = &s->flow.peer,
                                                     .msg_namelen = sizeof(s->flow.peer),
                                                     .msg_iov = &room->vectors[i],
                                                     .msg_iovlen = 1,
                                                     .msg_control = room->controls[i].bytes,
                                                     .msg_controllen = sizeof(room->controls[i].bytes) };
    }
    int got;
    do got = recvmmsg(fd, room->messages + first, most, MSG_DONTWAIT, NULL);
    while (got < 0 && errno == EINTR);
    *count = got > 0 ? (uint32_t)got : 0;
    if (got < 0) return errno == EAGAIN ? IO_AGAIN : IO_FAIL;
    for (uint32_t i = first; i < first + *count; i++) take(b, i);
    return *count == most ? IO_OK : IO_AGAIN;
}

/* sending */

static void add_control(struct msghdr *m, union control *room, int level, int type, const void *value,
                        size_t size)
{
    size_t at = m->msg_controllen;
    if (bug_if(UDP, at + CMSG_SPACE(size) > sizeof(room->bytes))) return;
    struct cmsghdr *c = (struct cmsghdr *)(void *)(room->bytes + at);
    m->msg_control = room->bytes;
    m->msg_controllen = at + CMSG_SPACE(size);
    memset(c, 0, CMSG_SPACE(size));
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), value, size);
}

/* An answer comes from the address that was asked. */
static void add_local(struct msghdr *m, union control *room, const struct udp_flow *f)
{
    static const struct in6_addr none;
    if (memcmp(&f->local, &none, sizeof(none)) == 0) return;
    if (f->peer.any.sa_family == AF_INET) {
        struct in_pktinfo info = { 0 };
        memcpy(&info.ipi_spec_dst, f->local.s6_addr + 12, sizeof(info.ipi_spec_dst));
        add_control(m, room, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    } else {
        struct in6_pktinfo info = { .ipi6_addr = f->local };
        add_control(m, room, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
}

static void address(struct msghdr *m, union control *room, struct udp_slot *s, bool is_connected)
{
    if (is_connected) return;
    m->msg_name = &s->flow.peer;
    m->msg_namelen = s->flow.peer_len;
    add_local(m, room, &s->flow);
}

static void add_segment(struct msghdr *m, union control *room, uint32_t segment)
{
    uint16_t size = (uint16_t)segment;
    add_control(m, room, SOL_UDP, UDP_SEGMENT, &size, sizeof(size));
}

/* How many slots from `i` on can go as one message: to one receiver, all but the last equally long. */
static uint32_t run_from(const struct udp_batch *b, uint32_t i, uint32_t end, bool is_connected)
{
    const struct udp_slot *s = &b->slots[i];
    uint32_t bytes = s->len, n = 1;
    if (b->room->is_one_by_one || s->segment || !s->len) return 1;
    for (; i + n < end && n < SEGMENTS_MAX; n++) {
        const struct udp_slot *next = &b->slots[i + n];
        bytes += next->len;
        if (next->segment || !next->len || next->len > s->len || bytes > SEGMENTED_MAX) break;
        if (b->slots[i + n - 1].len != s->len) break; /* a shorter one was the last */
        if (!is_connected && !udp_flow_equal(&next->flow, &s->flow)) break;
    }
    return n;
}

/* One message, of n slots. */
static void compose(struct udp_batch *b, uint32_t message, uint32_t i, uint32_t n, bool is_connected)
{
    struct udp_batch_room *room = b->room;
    struct udp_slot *s = &b->slots[i];
    struct msghdr *m = &room->messages[message].msg_hdr;
    for (uint32_t k = i; k < i + n; k++)
        room->vectors[k] = (struct iovec){ b->slots[k].data, b->slots[k].len };
    *m = (struct msghdr){ .msg_iov = &room->vectors[i], .msg_iovlen = n };
    address(m, &room->controls[message], s, is_connected);
    if (n > 1)
        add_segment(m, &room->controls[message], s->len);
    else if (s->segment)
        add_segment(m, &room->controls[message], s->segment);
}

/* What the kernel does not cut: each datagram of a slot by itself. False with errno: the first that did not go. */
static bool send_cut(struct udp_batch *b, int fd, uint32_t i, bool is_connected)
{
    struct udp_slot *s = &b->slots[i];
    uint32_t size = s->segment ? s->segment : s->len;
    union control control; /* those of the room may be of messages that come after */
    for (uint32_t at = 0; at < s->len || !s->len; at += size) {
        uint32_t left = s->len - at;
        struct iovec piece = { s->data + at, left < size ? left : size };
        struct msghdr m = { .msg_iov = &piece, .msg_iovlen = 1 };
        address(&m, &control, s, is_connected);
        if (sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return false;
        if (!s->len) break;
    }
    return true;
}

/* Of a message that is to be cut: the device or the path cannot. */
static bool is_of_cutting(int error)
{
    return error == EINVAL || error == EIO || error == EMSGSIZE || error == EOPNOTSUPP;
}

static uint32_t send_one_by_one(struct udp_batch *b, int fd, uint32_t first, uint32_t n, bool is_connected)
{
    for (uint32_t i = 0; i < n; i++)
        if (!send_cut(b, fd, first + i, is_connected)) return i;
    return n;
}

uint32_t udp_batch_send(struct udp_batch *b, int fd, uint32_t first, uint32_t count, bool is_connected)
{
    uint32_t runs[UDP_BATCH] = { 0 }, messages = 0, end = first + count, sent = 0;
    if (bug_if(UDP, end > UDP_BATCH)) return count; /* as if they had gone: nobody sends them again */
    for (uint32_t i = first; i < end; i += runs[messages++]) {
        runs[messages] = run_from(b, i, end, is_connected);
        compose(b, messages, i, runs[messages], is_connected);
    }
    for (uint32_t next = 0; next < messages;) {
        int went = sendmmsg(fd, b->room->messages + next, messages - next, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (went > 0) {
            for (uint32_t last = next + (uint32_t)went; next < last; next++) sent += runs[next];
            continue;
        }
        if (errno == EINTR) continue;
        bool is_cut = runs[next] > 1 || b->slots[first + sent].segment;
        if (!is_cut || !is_of_cutting(errno)) return sent;
        if (errno != EMSGSIZE) b->room->is_one_by_one = true;
        uint32_t n = send_one_by_one(b, fd, first + sent, runs[next], is_connected);
        sent += n;
        if (n < runs[next]) return sent;
        next++;
    }
    return sent;
}
