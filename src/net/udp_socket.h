/* net/udp_socket.h: sockets for datagrams: what a listener's are told, and connected ones to servers. */
#pragma once

#include "base/address.h"

/* A listener's, bound already: which local address a datagram came to where it takes those of several (IP_PKTINFO), how many
 * were lost (SO_RXQ_OVFL), several that came as one (UDP_GRO), and how many bytes may wait, as far as the kernel lets
 * (net.core.rmem_max). May be said again. */
void udp_socket_prepare(int fd, const struct address *bind, uint64_t buffer_bytes);
/* How many datagrams the kernel has lost for want of room since the socket is there. */
uint32_t udp_socket_lost(int fd);
/* Connected: what others send to it does not come, and what ICMP says of the server does. -1 with errno. */
MUST_CHECK int udp_socket_connect(const struct address *server);
/* Several of one flow may come as one from now on. */
void udp_socket_join(int fd);
