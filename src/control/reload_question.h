/* control/reload_question.h: another configuration that is asked for, from the asking to the answer: what is copied of it, and what the
 * jobs' thread does for it. control/reload.c decides what becomes of it. */
#pragma once

#include "control/config.h"
#include "control/config_difference.h"
#include "control/discovery.h"
#include "control/reload.h"
#include "control/reload_change.h"

struct reload {
    struct reloader reloader; /* first */
    struct reload_options o;
    const struct config *started; /* what weir was started with: borrowed for longer than this */
    struct config *own;           /* the one in force, if it came by reload: one reference on its arena */
    struct timer retire_timer;
    struct reload_change
        *made; /* what has changed of the file since it was read, where no text is kept; may be NULL */
    struct list settling;      /* of question: in force, but not yet with every worker */
    uint32_t pending, waiting; /* waiting: of those that pend, for the names in them */
    uint64_t asked,
        in_force; /* numbers of questions: the latest one's; whose configuration is in force, 0: the start's */
    uint64_t applied, refused;
    bool is_file_applied; /* the latest time that the file was to be put in force; true: it was never asked */
    uint64_t file_asked;  /* number of the question that decided it */
    int64_t file_at_s;    /* when that was decided, since 1970; before the first time, the start */
    bool is_stopped, is_held;
};

struct question {
    struct job job; /* first */
    struct list link;
    struct reload *reload;
    uint64_t number;       /* those that were asked later have higher ones */
    struct reload_ask ask; /* its text is `text`, its if_match `if_match` */
    char *text;            /* of the configuration, wherever it came from */
    size_t text_len;
    char if_match[RELOAD_IF_MATCH_MAX];
    struct reload_change *change;   /* of the one in force; NULL: the text is whole */
    struct generation next, source; /* what it becomes; which it is of, with ask.generation */
    struct generation gone;         /* what goes for it */
    bool has_gone;
    char staged[GENERATION_STAGED_MAX]; /* the file that it is kept in, still without a name; empty: none */
    struct answer answer;               /* while that gets its name */
    struct config *config;
    const struct config *base; /* in force when it was asked: what the difference is of */
    struct conf_arena *base_arena;
    struct config_difference difference;
    struct watch_change *logs; /* what its logs need, made of those of `base`; NULL: nothing yet, or taken */
    struct discovery_wait names; /* what it needs to be known before it comes into force */
    bool has_waited;
    char *faults; /* every mistake, for people; NULL: see err */
    struct err err;
    int result;
    uint16_t status;                                 /* of the answer, if result is -1 */
    uint32_t generation, listener_count, pool_count; /* of what it put in force; 0: nothing */
};

/* Copies what is asked. -1: it cannot be taken. Control thread, so is the next. */
MUST_CHECK int question_take(struct question *q, const struct reload_ask *what, struct err *err);
void question_free(struct question *q);

/* Of its job, on the jobs' thread; what comes of it is q->result. */

void question_run(struct job *job);
/* Another has come into force meanwhile: it is compared with that. */
void question_compare_again(struct job *job);
/* It is in force: the file gets its name. */
void question_publish(struct job *job);
