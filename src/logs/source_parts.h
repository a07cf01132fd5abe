/* logs/source_parts.h: what the parts of a source share: source.c (its records, its life), source_checkpoint.c (what a restart
 * needs) and source_change.c (going on under another configuration). The observer's thread, once it has been started. */
#pragma once

#include <limits.h>

#include "logs/follow.h"
#include "logs/source.h"
#include "logs/source_input.h"

/* Counted by what was read before another place was read: counters go on. */
struct source_past {
    uint64_t bytes, rotated, truncated, failed, foreign, dropped;
};

struct source {
    const struct source_conf *conf;
    const struct logs_conf *logs;
    struct loop *loop;
    const struct source_events *events;
    void *context;
    struct log_format *format;
    struct follow *follow;      /* files, or */
    struct source_input *input; /* syslog, standard input, whose records are put together in */
    struct intake *input_intake;
    int reserved_fd;      /* where syslog comes, bound before the start; -1: not yet */
    struct places places; /* of the checkpoint, until reading starts */
    struct tally *tally;
    struct rule *rules[LOG_RULES_MAX]; /* NULL: not for this source */
    struct upstream_watch *upstreams;  /* NULL: nobody asks */
    uint64_t judge_ns;
    struct list taps;
    struct source_figures figures;
    struct source_past past;
    uint64_t records, errors, malformed, now_s;
    uint64_t said_records, said_errors, said_malformed, said_ns; /* in the last summary */
    uint64_t saved_ns, next_save_ns;
    uint64_t saved_records; /* and malformed lines, when it was saved last */
    char state_path[PATH_MAX];
    char fault[ERR_TEXT_MAX];
};

/* source.c */
void source_say_fault(struct source *s, const char *event, const char *text);
/* Reads where its configuration says; `places` (NULL: none) are borrowed during the call. */
MUST_CHECK int source_begin_reading(struct source *s, const struct places *places, struct err *err);
MUST_CHECK int source_new_intake(struct source *s, struct intake **out, struct err *err);
/* Of files, nothing that is incomplete is lost: it is read again by whoever goes on from follow_places(). An address that is
 * reserved and not read at is given back too. */
void source_end_reading(struct source *s);
/* The rule for this source; *out stays NULL if it is not for it. */
MUST_CHECK int source_compile_rule(const struct source_conf *conf, const struct rule_conf *rule,
                                   struct rule **out, struct err *err);
/* The format, for free(). */
MUST_CHECK int source_make_format(const struct source_conf *conf, struct log_format **out, struct err *err);

/* source_checkpoint.c */
/* *out is "" where nothing is kept. -1: the directory cannot be made; it is made by the next. Any thread. */
MUST_CHECK int source_find_state(const struct source_conf *conf, const struct logs_conf *logs,
                                 char out[PATH_MAX], struct err *err);
/* Where it cannot be made that is said, and nothing is kept: reading goes on. */
void source_make_state(struct source *s);
void source_save(struct source *s);
void source_save_if_due(struct source *s);
/* Not before some seconds have passed. */
void source_saves_from_now(struct source *s);
/* Into s->tally and s->places. -1: there is no memory. */
MUST_CHECK int source_load(struct source *s, struct err *err);

/* source_change.c */
/* Whether it is read at an address of syslog that no source of `were` has. */
bool source_needs_address(const struct source_conf *conf, const struct logs_conf *were);
