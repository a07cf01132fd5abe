/* logs/intake.h: bytes of a log, in pieces of whatever size, to records. A record that a cut goes through is put together
 * in memory of a fixed size; one that is longer than INTAKE_RECORD_MAX is passed over and counted as malformed. One
 * thread. */
#pragma once

#include "logs/line_format.h"

#define INTAKE_RECORD_MAX (256u << 10)
/* So many readable bytes must follow a piece. */
#define INTAKE_SLACK 64u

struct intake_events {
    void (*on_entry)(void *context, struct log_entry *e); /* everything in it lives until it returns */
    void (*on_malformed)(void *context, struct slice bytes);
};

struct intake;

/* `format`: of lines, borrowed; NULL: JSON objects, one a line, one after another, or in an array. */
MUST_CHECK int intake_new(struct intake **out, const struct line_format *format,
                          const struct intake_events *events, void *context, struct err *err);
void intake_free(struct intake *in); /* NULL is fine */
void intake_feed(struct intake *in, struct slice piece);
/* Nothing follows: a last line without its newline is a record too. */
void intake_end(struct intake *in);
/* Forgets what is held of a record: the next piece begins one. */
void intake_reset(struct intake *in);
/* How many of the bytes fed belong to a record that is not complete: where reading is to go on after a restart. */
uint64_t intake_pending(const struct intake *in);
/* The seat of a variable; LOG_FIELD_MAX if no record had it so far. */
enum log_field intake_field(const struct intake *in, struct slice name);
