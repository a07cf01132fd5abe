/* metric/history.h: what was counted of listeners, routes, pools and servers, over time: requests, errors and latency of each
 * second for 5 minutes, of each ten seconds for an hour, of each minute for a day.
 *
 * Its memory is bounded. Times without traffic cost nothing; where there is not enough memory for the rest, the oldest goes
 * first, of servers before others, and of the three steps alike. Of one thread, which also says what second it is: any
 * clock that counts up from 0. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "metric/histogram.h"

/* Durations in groups of cells of a histogram, 16 an octave: at most 3.2 % off. */
#define HISTORY_GROUP_BITS 2u
#define HISTORY_GROUPS (HISTOGRAM_CELLS >> HISTORY_GROUP_BITS)

enum history_kind { HISTORY_LISTENER, HISTORY_ROUTE, HISTORY_POOL, HISTORY_SERVER, HISTORY_KINDS };
enum history_step { HISTORY_SECOND, HISTORY_TEN, HISTORY_MINUTE, HISTORY_STEPS };

/* Which: ids of names (base/names.h). */
struct history_key {
    enum history_kind kind;
    uint32_t of; /* the listener of a route, the pool of a server; else 0 */
    uint32_t id;
};

/* Counts since something began, or what came within a time. */
struct history_tally {
    uint64_t requests, errors;
    uint32_t groups
        [HISTORY_GROUPS]; /* of those whose latency is known; may wrap where they are since the beginning */
};

struct history_point {
    uint64_t requests, errors;
    uint64_t p50_us, p95_us, p99_us; /* 0: of none the latency is known */
};

struct history;
struct history_series;

/* memory_max: bytes of all that it keeps. */
MUST_CHECK int history_new(struct history **out, size_t memory_max, struct err *err);
void history_free(struct history *h);
/* In bytes; how many pieces of time were given up for others; how many points found no memory. */
size_t history_memory(const struct history *h);
uint64_t history_given_up(const struct history *h);
uint64_t history_lost(const struct history *h);

/* Writing: a round a second. What no round of the last three has named is forgotten at its end. */
void history_begin(struct history *h, uint64_t second);
/* Found or made, and named in this round. NULL: there is no memory for it. */
struct history_series *history_open(struct history *h, const struct history_key *key);
/* Whether any of the three has changed since it was last asked so: if not, history_since() would find nothing. Lower ones
 * than before are those of a namesake that has come in its place, and count from 0. */
bool history_has_moved(struct history_series *s, uint64_t requests, uint64_t errors, uint64_t sum_us);
/* What `counted`, since the beginning, has more than when this was last asked. False: no memory to remember it. */
bool history_since(struct history *h, struct history_series *s, const struct history_tally *counted,
                   struct history_tally *come);
/* What came in the round's second; NULL: nothing. To be said of each series in each round. */
void history_add(struct history *h, struct history_series *s, const struct history_tally *come);
/* Forgets what is too old. */
void history_end(struct history *h);

/* Reading. */
struct history_series *history_find(const struct history *h, const struct history_key *key); /* NULL: none */
uint32_t history_step_seconds(enum history_step step);
uint32_t history_step_points(enum history_step step); /* how many are kept at most */
/* The step's number, seconds over its length, that was complete last; the first is 0. -1: none yet. */
int64_t history_latest(const struct history *h, enum history_step step);
/* `count` points from the number `first` on; zeros where nothing is kept. */
void history_read(const struct history *h, const struct history_series *s, enum history_step step,
                  int64_t first, uint32_t count, struct history_point *out);
/* Of late: counts of the last ten seconds, latency of the last ten to twenty. */
struct history_point history_recent(const struct history *h, const struct history_series *s);
/* The latency alone costs more. */
struct history_point history_recent_counts(const struct history *h, const struct history_series *s);
