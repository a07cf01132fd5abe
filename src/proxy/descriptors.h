/* proxy/descriptors.h: how many descriptors traffic may have of those that the process may: the others are kept back for the API, health
 * checks and logs, whatever comes. Counted are connections of clients and to servers, sessions of datagrams and files that are sent. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct proxy;
struct worker;

/* How many clients may have of `limit`: with an eighth of it left, servers can be asked for those who are there. */
uint32_t descriptors_for_clients(uint32_t limit);
/* Of all workers. Any thread: it may be off by what changes meanwhile. */
uint32_t descriptors_used(const struct proxy *p);
/* Whether one more may be opened, by this worker: if need be an idle connection to a server ends for it. Looks at the others
 * once a turn, so that it may be off by what they open meanwhile. */
bool descriptors_are_left(struct worker *w);
