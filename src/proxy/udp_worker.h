/* proxy/udp_worker.h: what the udp listeners of a worker share: room for datagrams on their way, and for sessions. Its thread's.
 *
 * What servers answer is received where it is sent from, and goes to clients at the end of the turn, or when the room is used
 * up: a system call for many sessions' answers. */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct udp_socket;
struct udp_worker;
struct worker;

void udp_worker_init(struct udp_worker *u, struct worker *w);
void udp_worker_fini(struct udp_worker *u);
/* -1: out of memory. */
MUST_CHECK int udp_worker_prepare(struct udp_worker *u, struct err *err);
/* How many slots of `out` are free from out_count on, for what leaves by `at`; what is in others' way is sent first. */
uint32_t udp_worker_room(struct udp_worker *u, struct udp_socket *at);
/* So many of these were filled, their flows too. */
void udp_worker_filled(struct udp_worker *u, uint32_t count);
void udp_worker_flush(struct udp_worker *u);
