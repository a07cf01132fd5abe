/* proxy/udp_session.h: the datagrams between one client's port and one server, which have a connected socket of their own:
 * whatever comes at it is for that client, and what ICMP says there is of that server. One worker's thread.
 *
 * One whose answers have not come is over, and keeps its port for a while (udp_listener_hold()): the kernel would give it to the next, whose
 * client a late answer would come to, and whose session would end with it.
 *
 * A server that refuses (its port is closed) before it has answered anything has seen nothing: the client's only datagram, if
 * it is UDP_KEPT_BYTES or less, goes to another server then. */
#pragma once

#include "base/memory_view.h"
#include "proxy/udp_listener.h"
#include "record/flight.h"

#define UDP_KEPT_BYTES 512u

struct udp_session;

/* What udp_worker.sessions is made of. */
size_t udp_session_size(void);
/* Begins one for the flow of `slot`, who may pass and is counted among its listener's connections (is_counted: among
 * its address's too). NULL: it could not begin, and all of that is counted back. */
struct udp_session *udp_session_start(struct udp_listener *u, struct udp_socket *at,
                                      const struct udp_slot *slot, bool is_counted);
static inline struct udp_session *udp_session_at(struct udp_place *p)
{
    return (struct udp_session *)p; /* its first member */
}
/* Sends slots of worker->udp.in to the server. Returns how many are done with: with fewer than count the session is over, or waits
 * for what is due alone, and another can begin with the rest. */
uint32_t udp_session_pass(struct udp_session *s, uint32_t first, uint32_t count);
/* It was silent for too long. */
void udp_session_expire(struct udp_session *s);
void udp_session_end(struct udp_session *s, enum end_reason reason);
/* One that is over and was held: its port is anybody's again, and it is gone. */
void udp_session_let_go(struct udp_session *s);
void udp_session_unpin(struct udp_session *s);
/* What it refers to, and holds; *has_descriptor: a socket. */
struct tcp_reach;
void udp_session_reach(const struct udp_session *s, struct tcp_reach *out, bool *has_descriptor);

/* As tcp_salvage(). */
struct udp_remains {
    uint64_t start_ns;
    struct flight_record record;
};
bool udp_salvage(const struct memory_view *m, uint64_t address, uint64_t worker, struct udp_remains *out);
