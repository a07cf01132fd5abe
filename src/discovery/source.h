/* discovery/source.h: who knows where servers are: what a kind of them (name servers, a file) has to be able to do. All the rest
 * is the same for all and is not a kind's: what is kept of the last good answer, when it is asked again, what is said in the
 * log, how pools come to know (sources.h). One more kind is a file with a struct source_kind, a line in place.c for how it is
 * written, and a line in the table of sources.c. Control thread. */
#pragma once

#include "base/list.h"
#include "discovery/freshness.h"
#include "discovery/place.h"
#include "metric/metric.h"
#include "net/jobs.h"
#include "net/timer.h"

/* What one of them may lead to: the rest is left out, and that is said. */
#define FOUND_MAX 1000u
#define FOUND_NAME_MAX 64u
#define FOUND_TIERS 8u

/* A server that somebody knows of. */
struct found {
    struct address address; /* with port 0 that of the entry counts */
    bool has_weight;        /* else that of the entry counts */
    uint32_t weight;
    uint32_t tier;                 /* 0: that of the entry counts */
    char name[FOUND_NAME_MAX + 1]; /* "": none of its own */
};

struct source_answer {
    enum source_result result;
    const char *reason;        /* unless it is SOURCE_FOUND: a clause for people, borrowed */
    uint64_t holds_ms;         /* of SOURCE_FOUND; 0: until the kind says another thing of itself */
    const struct found *found; /* borrowed; in any order, and the same may come twice */
    uint32_t count;            /* of SOURCE_FOUND: 1 or more */
    uint32_t left_out;         /* beside them, since there are more than the kind looks at */
};

struct source;
struct sources;

struct source_kind {
    /* NULL: out of memory. The source is the first member of the kind's own struct; what is in it is set by the caller. */
    struct source *(*open)(void);
    /* Asks once. It ends in source_answered(), at once or later; is not called while one has not ended. */
    void (*ask)(struct source *s);
    /* Nobody wants to know any more: whatever is going on ends, without a word. Frees it. */
    void (*close)(struct source *s);
};

#define SOURCE_REASON_MAX 200u

struct source {
    const struct source_kind *kind;
    struct sources *all;
    struct list link;
    struct source *next; /* in its bucket */
    struct address at;   /* its memory is the place's text */
    struct place place;
    uint32_t users;
    struct timer timer; /* when it is to be asked next */
    struct timer room;  /* when it is looked again whether `job` can be worked on */
    struct job *job;    /* its work that there was no room for; NULL: there is none */
    uint32_t room_looks;
    bool is_asking;
    bool is_cut;      /* it leads to more than FOUND_MAX, which was said */
    bool has_changed; /* since pools were last told */
    struct freshness fresh;
    struct found *found; /* the last good answer: in order, each address once; with fresh.has_found */
    uint32_t count;
    uint64_t answers[SOURCE_RESULTS];
    struct metric_scope meters;
    char reason[SOURCE_REASON_MAX]; /* of the last answer that was no good; "": it was */
};

/* What it is called in the log. Returns out. */
#define SOURCE_QUOTED_MAX (PLACE_TEXT_MAX * 4 + 8)
const char *source_quote(const struct source *s, char out[SOURCE_QUOTED_MAX]);
/* For kinds: it is to be asked now; false: it is being asked already. */
bool source_ask(struct source *s);
/* An answer is there, asked for or not. */
void source_answered(struct source *s, const struct source_answer *answer);

/* Also for kinds: `j` is worked on as soon as the jobs' thread has room for it: many sources may have work at once. done() comes in
 * any case, without run() when weir or the source ends, or when there was no room for SOURCE_ROOM_LOOKS. */
void source_work(struct source *s, struct job *j);
#define SOURCE_ROOM_LOOKS 200u
#define SOURCE_NO_WORK "weir has too much to do to read it, or is stopping"

extern const struct source_kind source_dns, source_srv, source_file, source_docker;
