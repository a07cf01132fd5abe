/* record/flight_ring.h: where flight records are kept: of each worker the latest of all, and longer than those what somebody
 * will ask for later. A record that the latest push out goes on to another lane if it failed, was slow, or is one of the few
 * by which it can be seen what was usual; so a flood of good ones leaves those that failed where they are. Each worker writes
 * its own ring and never waits; any thread may read any ring meanwhile. */
#pragma once

#include "record/flight.h"

#define FLIGHT_WORKERS_MAX 1024u
#define FLIGHT_RING_RECORDS 4096u
/* Of the other lanes. A record is slow if it took longer than 99 of 100 of its worker's good ones of late. */
#define FLIGHT_FAILED_RECORDS 1024u
#define FLIGHT_SLOW_RECORDS 1024u
#define FLIGHT_SAMPLED_RECORDS 256u
#define FLIGHT_SAMPLED_OF 256u /* one of so many */

enum flight_lane { FLIGHT_RECENT, FLIGHT_FAILED, FLIGHT_SLOW, FLIGHT_SAMPLED, FLIGHT_LANES };

/* Untouched records cost no memory. `records`, of the latest, is a power of two; worker < FLIGHT_WORKERS_MAX. */
struct flight_ring;
MUST_CHECK int flight_ring_new(struct flight_ring **out, uint32_t records, uint32_t worker, struct err *err);
void flight_ring_free(struct flight_ring *ring);

/* The ring's worker only. Ids are unique among all rings for the life of the process. */
uint64_t flight_next_id(struct flight_ring *ring);
void flight_write(struct flight_ring *ring, const struct flight_record *r);

/* How many were ever written; the latest `records` of these positions can be read. */
uint64_t flight_written(const struct flight_ring *ring);
/* False if the position was overwritten (or is being), or is not written yet. Any thread. */
bool flight_read(const struct flight_ring *ring, uint64_t position, struct flight_record *out);

/* Out of the memory of a dead process of this very build, or of one that is looked at from outside: the latest but `ago`
 * of the ring at `ring`, made safe to print. False: there is none, or it was being written. Async-signal-safe. */
struct memory_view;
bool flight_salvage(const struct memory_view *m, uint64_t ring, uint64_t ago, struct flight_record *out);

/* These look at every lane. */
bool flight_find(struct flight_ring *const *rings, uint32_t count, uint64_t id, struct flight_record *out);
/* The latest to end first, across all rings. Returns how many were put in `out`. */
uint32_t flight_select(struct flight_ring *const *rings, uint32_t count, const struct flight_filter *filter,
                       struct flight_record *out, uint32_t max);
/* Likewise, the one that took longest first. Tunnels are none of them: they last as long as they are wanted. */
uint32_t flight_select_slowest(struct flight_ring *const *rings, uint32_t count,
                               const struct flight_filter *filter, struct flight_record *out, uint32_t max);

/* One of the rings has given that id away: it is still going on, or was kept. */
bool flight_has_given(struct flight_ring *const *rings, uint32_t count, uint64_t id);
/* Since when all are there that belong into the lane: FLIGHT_RECENT: all; FLIGHT_FAILED: all that failed. 0: since the
 * start. */
uint64_t flight_complete_since_ns(struct flight_ring *const *rings, uint32_t count, enum flight_lane lane);
