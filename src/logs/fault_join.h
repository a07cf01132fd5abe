/* logs/fault_join.h: lines of the error log that wait for the record of their request in the access log. They belong together
 * by client, request and time: an error line stands there before or after its record, in another file, with its time as the
 * host's clock shows it. Bounded: the oldest give way when there is no more room, and whatever no record came for is handed
 * back. A look costs a bounded number of steps, whatever the logs hold. One thread. */
#pragma once

#include "base/err.h"
#include "logs/error_line.h"
#include "logs/fault_kind.h"
#include "logs/fault_record.h"

#define FAULT_JOIN_LINES (1u << 17)
/* So many lines of one request are told. */
#define FAULT_JOIN_TAKEN_MAX 16u

struct fault_waiting {
    uint64_t key, connection, text_at, local_s;
    uint32_t text_len;
    uint32_t next, client, server; /* client, server: what stands for them; 0: not known */
    enum fault_kind kind;
    bool is_asked_for; /* the filter takes it by itself */
};

struct fault_join;

/* `lines`: FAULT_JOIN_LINES, or fewer in tests. `on_left`: no record came for it; it lives until that returns. */
MUST_CHECK int fault_join_new(struct fault_join **out, uint32_t lines,
                              void (*on_left)(void *context, const struct fault_waiting *w,
                                              struct slice text),
                              void *context, struct err *err);
void fault_join_free(struct fault_join *j); /* NULL is fine */
/* `text`: the whole line, of which a copy is kept. */
void fault_join_add(struct fault_join *j, const struct error_line *line, enum fault_kind kind,
                    bool is_asked_for, struct slice text);
/* The lines of a record's request, in their order; they wait no more. `local_s`: its time as its host's clock shows it.
 * `tries`: as far as the record says. `connection`: nginx's number of it; 0 if the record does not say. */
struct fault_record_time {
    uint64_t local_s, took_s; /* took_s: UINT64_MAX if not known */
    uint64_t connection;
};
uint32_t fault_join_take(struct fault_join *j, const struct log_entry *e,
                         const struct fault_record_time *when, uint32_t try_count,
                         struct fault_waiting out[FAULT_JOIN_TAKEN_MAX]);
/* The line itself; empty where it gave way to later ones. Lives until the next line is added. */
struct slice fault_join_text(const struct fault_join *j, const struct fault_waiting *w);
/* Hands back what was added before that time, as the log shows it. */
void fault_join_leave_before(struct fault_join *j, uint64_t local_s);
/* Hands back what still waits. */
void fault_join_end(struct fault_join *j);
/* Lines for which there was no room until a record came. */
uint64_t fault_join_displaced(const struct fault_join *j);
uint32_t fault_join_count(const struct fault_join *j);
