/* proxy/round.h: what a worker does with all that a listener has on it: when it goes by another configuration, whatever asks the one
 * before nothing more lets go of it; when the listener leaves, clients that are idle close. Of ten thousand connections in one turn
 * that would take a hundred milliseconds, in which nobody else is served. So it is a round: so much of it a turn, as if it came
 * by itself, and between two turns anything may happen, another round too.
 *
 * Whoever has been looked at goes to the end of its list with the round's number, so that the next in turn is at the front, and nothing
 * has to be known of who comes and goes meanwhile. The worker's thread. */
#pragma once

#include "proxy/turn.h"
#include "proxy/worker.h"

enum round_stage { ROUND_OVER, ROUND_CONNECTIONS, ROUND_TUNNELS, ROUND_DATAGRAMS };

void round_init(struct round *r);
/* Begins, or anew, later in this turn. is_leaving: as above; one that was under way with it goes on with it. */
void round_begin(struct listener_worker *lw, bool is_leaving);
/* None goes on. */
void round_stop(struct round *r);
