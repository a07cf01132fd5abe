/* net/udp_batch.h: datagrams, many a system call: received by recvmmsg(2) into slots, sent from them by sendmmsg(2). One loop's
 * thread.
 *
 * A slot has room for the largest datagram that there is, so that none is ever cut; what is never touched of that costs no
 * memory, and all of it together is a bound: UDP_BATCH_BYTES. Where the kernel can (UDP_GRO), one slot holds several datagrams
 * of one flow that came as one; where it can (UDP_SEGMENT), those for one receiver that are equally long go out as one.
 * Whether it can shows at the first try; then they go one by one. */
#pragma once

#include <netinet/in.h>
#include <string.h>

#include "base/address.h"
#include "net/transport.h"

#define UDP_BATCH 32u

/* Where datagrams come from and go to. Zeroed where it is not filled, so that two can be compared and hashed by their bytes. */
struct udp_flow {
    union {
        struct sockaddr any;
        struct sockaddr_in in4;
        struct sockaddr_in6 in6;
    } peer; /* as the kernel gave it: with the scope of a link-local address */
    uint32_t peer_len;
    struct in6_addr local; /* of this host, IPv4 mapped; zero: the socket's own */
};

static inline bool udp_flow_equal(const struct udp_flow *a, const struct udp_flow *b)
{
    return memcmp(a, b, sizeof(*a)) == 0; /* NOLINT(bugprone-suspicious-memory-comparison): see above */
}

struct udp_slot {
    char *data;
    uint32_t len;
    uint32_t segment; /* it holds several, each so long but for the last, which may be shorter; 0: one */
    struct udp_flow flow;
};

struct udp_batch {
    struct udp_slot slots[UDP_BATCH];
    uint32_t lost;     /* by the kernel, before those that were received last, since the socket is there */
    bool is_lost_said; /* it said that with those */
    struct udp_batch_room *room;
};

/* NULL: out of memory. */
struct udp_batch *udp_batch_new(void);
void udp_batch_free(struct udp_batch *b); /* NULL is fine */

/* Fills slots from `first` on, at most `most`. IO_OK: all of them, and more may wait. IO_AGAIN: no more do; some may have come.
 * IO_FAIL: errno, of a connected socket: what became of those that were sent before (ICMP); none have come. */
enum io udp_batch_receive(struct udp_batch *b, int fd, uint32_t first, uint32_t most, uint32_t *count);
/* Sends the slots [first, first + count), of a connected socket to its peer, else to the flow of each. Returns how many went:
 * with fewer, errno says why the next did not. Never blocks. */
uint32_t udp_batch_send(struct udp_batch *b, int fd, uint32_t first, uint32_t count, bool is_connected);
/* How many datagrams a slot holds. */
static inline uint32_t udp_slot_datagrams(const struct udp_slot *s)
{
    return s->segment && s->len > s->segment ? (s->len + s->segment - 1) / s->segment : 1;
}
struct address udp_flow_address(const struct udp_flow *f);
