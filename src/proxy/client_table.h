/* proxy/client_table.h: how many connections each client has open, for `connections_per_client`. Shared by
 * all workers, touched at accept and close only; fixed in size, made of atomics.
 *
 * A client is an IPv4 address or an IPv6 /64. It is kept as 40 bits of a seeded hash within a bucket of 15
 * clients: two that share a bucket and those bits count as one. Among 65,536 clients the odds that any two do
 * are one to four million.
 *
 * When a client's bucket is full of others with open connections, its own pass uncounted: a limit that is
 * there to share capacity fairly must not turn people away while there is capacity, and the limit on all
 * connections still holds. A table has room to spare for the number of clients it is made for, so this takes
 * far more. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"

struct client_table;

/* For about so many clients at a time: 16 bytes each, touched only where used. NULL when out of memory. */
struct client_table *client_table_new(uint32_t clients);
void client_table_free(struct client_table *t); /* NULL is fine */

/* Counts a connection of the client's, unless it has `limit` (at most CLIENT_CONNECTIONS_MAX) already: then
 * false. Each true is to be followed by one client_table_leave(), when the connection has ended. */
bool client_table_enter(struct client_table *t, const struct ip *client, uint32_t limit);
void client_table_leave(struct client_table *t, const struct ip *client);

#define CLIENT_CONNECTIONS_MAX 0xffffffu

/* Connections of the client's that are counted now. */
uint32_t client_table_count(const struct client_table *t, const struct ip *client);
/* Connections that have passed uncounted, in all: for the metrics. */
uint64_t client_table_uncounted(const struct client_table *t);
