/* logs/watch.h: the observer: one thread on which all sources are read. The control thread asks it questions and hears
 * what rules and upstreams came to; no worker ever waits for it. */
#pragma once

#include "logs/source.h"
#include "net/mailbox.h"

struct watch;

/* A rule's condition came true. On the control thread; the receiver frees it. */
struct watch_hit {
    uint32_t source, rule; /* places in logs_conf */
    struct rule_hit hit;
};

/* What a source says of one upstream. Likewise. */
struct watch_verdict {
    uint32_t source;
    struct upstream_verdict verdict;
};

struct watch_options {
    const struct logs_conf *conf; /* borrowed for the watch's life, like the next */
    struct mailbox *control;
    void (*on_hit)(void *control, const struct mail *m);     /* object: struct watch_hit */
    void (*on_verdict)(void *control, const struct mail *m); /* object: struct watch_verdict */
};

MUST_CHECK int watch_new(struct watch **out, const struct watch_options *o, struct err *err);
/* From now on logs are read: returns when every source has looked for its files, or has said why not. */
MUST_CHECK int watch_start(struct watch *w, struct err *err);
/* Ends the thread; every source is saved. What it posted before may still lie in the control's mailbox. */
void watch_stop(struct watch *w);
void watch_free(struct watch *w); /* stopped, or never started; NULL is fine */

uint32_t watch_source_count(const struct watch *w);
/* For its figures and configuration alone, on any thread. */
struct source *watch_source(const struct watch *w, uint32_t i);
/* watch_source_count() if there is none of that name. */
uint32_t watch_source_by_name(const struct watch *w, struct slice name);
const struct logs_conf *watch_conf(const struct watch *w);

/* A question: `ask` runs on the observer's thread, `done` on the control's; it stays where it is until `done`. */
struct watch_question {
    uint32_t source;
    void (*ask)(struct watch_question *q, struct source *s, uint64_t now_s);
    void (*done)(struct watch_question *q);
    struct watch *watch; /* watch_ask() sets it */
};
/* False: too many wait, or weir ends; then nothing of it is called. */
MUST_CHECK bool watch_ask(struct watch *w, struct watch_question *q);

/* Looking on: chunks of server-sent events come to `on_chunk` on the control thread; after watch_untap() a last one
 * may still come. `filter` is taken. 0: too many wait, or nothing is watched any more. Whoever is over WATCH_TAPS_MAX
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
