/* logs/watch.h: the observer: one thread on which all sources are read. The control thread asks it questions and hears
 * what rules and upstreams came to; no worker ever waits for it. */
#pragma once

#include "conf/arena.h"
#include "logs/source.h"
#include "net/mailbox.h"

struct watch;

struct watch_change;

/* A rule's condition came true. On the control thread; the receiver frees it. What it borrows is of the configuration that the
 * observer had, which may be an older one by now, and lives until on_hit() returns. */
struct watch_hit {
    const struct source_conf *source;
    const struct rule_conf *rule;
    struct rule_hit hit;
};

/* What a source says of one upstream. Likewise. */
struct watch_verdict {
    const struct source_conf *source;
    struct upstream_verdict verdict;
};

struct watch_options {
    const struct logs_conf *conf; /* borrowed until another is in its place, if `arena` is NULL */
    struct conf_arena *arena;     /* in which it lies: the watch takes a reference of its own */
    struct mailbox *control;      /* borrowed for the watch's life */
    void (*on_hit)(void *control, const struct mail *m);     /* object: struct watch_hit */
    void (*on_verdict)(void *control, const struct mail *m); /* object: struct watch_verdict */
};

MUST_CHECK int watch_new(struct watch **out, const struct watch_options *o, struct err *err);
/* From now on logs are read: returns when every source has looked for its files, or has said why not. */
MUST_CHECK int watch_start(struct watch *w, struct err *err);
/* Ends the thread; every source is saved. What it posted before may still lie in the control's mailbox. */
void watch_stop(struct watch *w);
void watch_free(struct watch *w); /* stopped, or never started; NULL is fine */

/* The configuration in force: control thread, like all that follows. */
const struct logs_conf *watch_conf(const struct watch *w);
uint32_t watch_source_count(const struct watch *w);
const struct source_conf *watch_source_conf(const struct watch *w, uint32_t i);
struct source_figures *watch_source_figures(const struct watch *w, uint32_t i);
/* watch_source_count() if there is none of that name. */
uint32_t watch_source_by_name(const struct watch *w, struct slice name);

/* Another configuration in its place, without a record lost or counted twice of what both have by the same name (logs/source_change.h).
 *
 * `before`: the one in force when it was asked for. Blocks: on the jobs' thread. -1: it has a mistake, and err says where and what;
 * nothing has happened. `after` is borrowed until the change is over. No address is taken: others may be made beside it. */
MUST_CHECK int watch_change_new(struct watch_change **out, struct watch *w, const struct logs_conf *before,
                                const struct logs_conf *after, struct err *err);
/* Takes the addresses of syslog that it needs and the one in force, which must be `before`, does not have. Once, on the control thread, where
 * it is committed or freed in the same turn: who holds an address for longer is in the way of another that brings the same. -1: one is
 * somebody else's. */
MUST_CHECK int watch_change_reserve(struct watch_change *c, struct err *err);
/* The one that comes. */
const struct logs_conf *watch_change_conf(const struct watch_change *c);
/* One that does not come into force; NULL is fine. */
void watch_change_free(struct watch_change *c);
/* It is in force for whoever asks, and the observer will hear of it before anything that is asked from now on; `arena`, in which it lies, is
 * held as long as it is. -1: nothing has happened, and the change is the caller's still. */
MUST_CHECK int watch_change_commit(struct watch_change *c, struct conf_arena *arena, struct err *err);

/* A question: `ask` runs on the observer's thread, `done` on the control's; it stays where it is until `done`. */
#define WATCH_QUESTIONS_MAX 256u
struct watch_question {
    uint32_t source;   /* its place, when it is asked */
    struct source *at; /* watch_ask() sets it */
    void (*ask)(struct watch_question *q, struct source *s, uint64_t now_s);
    void (*done)(struct watch_question *q);
    struct watch *watch; /* watch_ask() sets it */
};
/* False: too many wait, or weir ends; then nothing of it is called. */
MUST_CHECK bool watch_ask(struct watch *w, struct watch_question *q);

/* Looking on: chunks of server-sent events come to `on_chunk` on the control thread; after watch_untap() a last one
 * may still come. One without data is the end: its source is watched no longer, and neither is the tap to be taken back. `filter` is taken. 0: too many wait, or nothing is watched any more. Whoever is over WATCH_TAPS_MAX
 * hears nothing. */
#define WATCH_TAPS_MAX 64u
struct watch_chunk {
    struct watch *watch;
    uint64_t id;   /* of the tap */
    void *context; /* the viewer's, like number */
    uint64_t number;
    const char *data; /* gone when on_chunk returns */
    size_t len;
};
struct watch_viewer {
    void (*on_chunk)(const struct watch_chunk *c);
    void *context;
    uint64_t number;
};
MUST_CHECK uint64_t watch_tap(struct watch *w, uint32_t source, struct filter *filter,
                              struct watch_viewer viewer);
/* False: it could not be said now; say it again at its next chunk. */
bool watch_untap(struct watch *w, uint64_t id);
/* What was said and found no room in the control's mailbox. */
uint64_t watch_lost(const struct watch *w);
