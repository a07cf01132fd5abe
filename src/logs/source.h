/* logs/source.h: one log, or one pattern of logs, that is watched: where its records come from, what is kept of them, which
 * rules and taps see them, and what a restart needs. The observer's thread; the figures are for anybody. */
#pragma once

#include <stdatomic.h>

#include "logs/log_format.h"
#include "logs/rule.h"
#include "logs/source_conf.h"
#include "logs/tally.h"
#include "logs/tap.h"
#include "logs/upstream_watch.h"
#include "net/loop.h"

/* Copies for the metrics and the API, brought up to date twice a second. */
struct source_figures {
    _Atomic uint64_t records, bytes, malformed, errors; /* errors: 5xx */
    _Atomic uint64_t lag_bytes, lag_ms, open_files;
    _Atomic uint64_t rotated, truncated, failed;
    _Atomic uint64_t foreign, dropped; /* of syslog */
    _Atomic uint64_t undecided;        /* values at which a rule's regular expression gave up */
    _Atomic uint64_t saves, save_failures;
};

struct source;

/* None of them may close the source. */
struct source_events {
    void (*on_hit)(void *context, struct source *s, uint32_t rule, const struct rule_hit *hit);
    void (*on_verdict)(void *context, struct source *s, const struct upstream_verdict *v);
};

/* What its records look like, into memory that stays where it is. -1: nginx's configuration cannot be read, or names no such log. */
MUST_CHECK int source_find_format(const struct source_conf *conf, struct log_format *out, struct err *err);
/* `conf` and `logs` (for the rules and the directory of checkpoints) are borrowed until it goes on under others. -1: the format
 * cannot be had, the directory cannot be used. Any thread. */
MUST_CHECK int source_open(struct source **out, const struct source_conf *conf, const struct logs_conf *logs,
                           struct loop *l, const struct source_events *events, void *context,
                           struct err *err);
/* Takes the address of syslog that it is to have, before it is started. Any thread. -1: somebody has it. */
MUST_CHECK int source_reserve(struct source *s, struct err *err);
/* Begins to read, from where the checkpoint says, if there is one; a damaged one is put aside as FILE.bad and said. Not
 * before: until then another process may have written it. On the loop's own thread. -1: an address is taken, say. */
MUST_CHECK int source_start(struct source *s, struct err *err);
/* Ends reading, on the loop's thread, and saves, if there is where to. */
void source_stop(struct source *s);
void source_close(struct source *s); /* NULL is fine */

/* The observer's thread: the configuration by which it is read, and the rule at that place in it. */
const struct source_conf *source_conf(const struct source *s);
const struct rule_conf *source_rule_conf(const struct source *s, uint32_t rule);
struct tally *source_tally(struct source *s);
struct source_figures *source_figures(struct source *s);
struct list *source_taps(struct source *s); /* of struct tap */
/* The last thing that went wrong; "" if nothing did. */
const char *source_fault(const struct source *s);
/* Twice a second: figures, summaries for the taps, and the checkpoint when it is time. */
void source_tick(struct source *s);
