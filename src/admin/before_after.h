/* admin/before_after.h: what was counted of routes and servers before events and since, so that anybody may ask what a deploy, a
 * reload or a lost server has changed. Bounded: of the latest events so many are watched, each for an hour, of so many routes
 * and servers. Control thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "metric/history.h"

#define BEFORE_AFTER_OBJECTS_MAX 512u
/* Markers and configurations, and all other changes: many of the one kind do not push out the other. */
#define BEFORE_AFTER_WATCHED_MAX 8u
#define BEFORE_AFTER_MEMORY_MAX (16u << 20)

struct before_after;
struct loop;
struct proxy;

/* Both are borrowed. NULL: no memory. */
struct before_after *before_after_new(struct proxy *proxy, struct loop *loop);
void before_after_free(struct before_after *b); /* NULL is fine */
/* Looks at the events that have come at once, rather than within a second. */
void before_after_look(struct before_after *b);

/* Of one route or server, since it began. */
struct before_after_cell {
    uint32_t count; /* may wrap */
    uint16_t cell;  /* of metric/histogram.h */
};
struct before_after_object {
    struct history_key key;
    uint64_t requests, errors;
    uint32_t meter; /* of its durations; good for the turn */
    uint32_t cell_count;
    struct before_after_cell *cells; /* those that have any, ascending */
};
struct before_after_snapshot {
    uint32_t users;
    uint64_t at_ns; /* the loop's time */
    uint64_t wall_ns;
    uint32_t count, left_off; /* left_off: those of which there was no room */
    struct before_after_object *objects;
    size_t size;
};

/* Of an event: from when, the event itself, and until when; borrowed for the turn. */
struct before_after_window {
    const struct before_after_snapshot *begin, *event, *end;
    bool is_over;
};
/* False: the event is not watched. */
bool before_after_find(struct before_after *b, uint64_t event, struct before_after_window *out);
/* Durations of now are read only of those that are asked for: to be called before the cells of a window's end are used. */
void before_after_read_cells(struct before_after *b, const struct history_key *key);
/* NULL: nothing was counted of it by then. */
const struct before_after_object *before_after_object(const struct before_after_snapshot *s,
                                                      const struct history_key *key);
