/* logs/tally.h: everything that is kept of one source: its records of all time and, for sources that are watched, of
 * sliding windows of one minute, five minutes and one hour. All memory is taken at the start; what comes later never
 * needs more. One thread. */
#pragma once

#include "base/err.h"
#include "logs/entry.h"
#include "logs/period.h"
#include "logs/state_bytes.h"

/* What a tally may use, whatever comes: a source may use 32 MB, of which buffers take some. */
#define TALLY_BYTES_MAX 31000000u

enum tally_window { TALLY_1M, TALLY_5M, TALLY_1H, TALLY_ALL, TALLY_WINDOW_COUNT };
/* "1m", "5m", "1h", "all" */
const char *tally_window_name(enum tally_window w);
/* TALLY_WINDOW_COUNT if there is none of that name. */
enum tally_window tally_window_by_name(struct slice name);

struct tally;

/* `has_windows`: sliding windows too; they cost about as much again for each record. */
MUST_CHECK int tally_new(struct tally **out, bool has_windows, struct err *err);
void tally_free(struct tally *t); /* NULL is fine */
size_t tally_bytes(const struct tally *t);

/* Counts one record. Windows go by the record's own time where it has one, else by now_s; a record that is older than a
 * window counts in the wider ones only. */
void tally_add(struct tally *t, const struct log_entry *e, uint64_t now_s);
/* A line that is no record: counted, and one of them now and then is kept to be shown. */
void tally_add_malformed(struct tally *t, struct slice line);

struct tally_malformed {
    uint64_t count;
    uint32_t sample_count;
    struct slice samples[8]; /* the first of each doubling: 1st, 2nd, 4th, …; each cut at 256 bytes */
};
void tally_malformed(const struct tally *t, struct tally_malformed *out);

/* What was counted in the window that ends at now_s. Borrowed until the next change; for windows that slide it is put
 * together now (some hundred microseconds). NULL: this tally has no windows. */
const struct period *tally_period(struct tally *t, enum tally_window w, uint64_t now_s);
/* Of all time: the first and the last record's time; 0 if none had one. */
uint64_t tally_first_s(const struct tally *t);
uint64_t tally_last_s(const struct tally *t);
/* Records a second over the last hour, one number a minute, the oldest first: for a series. Returns how many. */
uint32_t tally_series(const struct tally *t, uint64_t now_s, uint64_t records[60], uint64_t errors[60]);

/* All of it as bytes, for a checkpoint, and back into a new tally of the same kind. -1: the bytes are no tally of this
 * version; then it is to be freed. */
void tally_save(const struct tally *t, struct state_out *out);
MUST_CHECK int tally_load(struct tally *t, struct state_in *in, struct err *err);
