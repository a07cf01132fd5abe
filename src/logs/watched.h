/* logs/watched.h: what the observer's parts share: watch.c (the thread, questions, those who look on) and watch_change.c (another
 * configuration). */
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include "logs/source_change.h"
#include "logs/watch.h"

struct watch_seat {
    uint64_t id; /* 0: free */
    struct source *source;
    struct watch_viewer to;
};

struct watch {
    struct watch_options options;
    struct loop loop;
    struct budget budget;
    struct mailbox *box;
    struct timer tick, fetch;
    /* The control thread's: what is in force, of which the observer may not have heard yet. */
    const struct logs_conf *conf;
    struct conf_arena *arena;
    struct source **in_force; /* one for each of conf's */
    struct list changes;      /* of watch_change: the observer has them */
    uint32_t questions;       /* that have no answer */
    bool is_running;
    /* The observer's. */
    struct source **sources;
    uint32_t source_count, viewer_count;
    struct watch_seat viewers[WATCH_TAPS_MAX];
    _Atomic uint64_t next_tap, lost;
    pthread_t thread;
    sem_t has_begun;
    _Atomic bool is_stopping;
};

/* watch.c */
extern const struct source_events watch_source_events;
/* On the observer's thread: logs a source that cannot be read. */
void watch_say_failed(const struct err *err);
/* Likewise: those who look on hear that it is over. */
void watch_end_viewers(struct watch *w, const struct source *s);
/* Likewise: m comes to the control thread, whatever waits there. False: all of it ends, and m has gone nowhere. */
bool watch_tell(struct watch *w, const struct mail *m);
/* Likewise: as long as there are sources they are looked after. */
void watch_look_after(struct watch *w);

/* watch_change.c */
/* The observer has ended: what it was sent and has not worked off. */
void watch_drop_changes(struct watch *w);
