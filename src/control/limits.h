/* control/limits.h: what the host lets this process have. */
#pragma once

#include <stdint.h>

#include "base/err.h"

/* Kept back from traffic: for admin, health checks, logs. */
#define RESERVED_DESCRIPTORS 32

/* Raises RLIMIT_NOFILE to its hard limit; returns what it is then. */
uint64_t limits_raise_descriptors(void);
/* How many client connections that allows, if each may need one to a server. */
uint32_t limits_connections(uint64_t descriptors, uint32_t workers);
/* How many sessions of datagrams there may be: three quarters of the local ports, each of which is one socket's whatever its
 * address. With the last of them the kernel looks at all of them for each that is wanted, which takes milliseconds. 0: not known. */
uint32_t limits_udp_sessions(void);
/* The smaller of the machine's memory and what the cgroup (v1 or v2) allows, in bytes. */
uint64_t limits_memory(void);
/* More workers than this have no bits of their own in a server's waiting_mask (balance/balance.h). */
#define WORKERS_MAX 64

/* Cores that this process may run on, at most WORKERS_MAX. */
uint32_t limits_cores(void);
