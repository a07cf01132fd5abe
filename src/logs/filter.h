/* logs/filter.h: which records are meant: one small language for the command line and the API.
 *
 *     expression = and { "||" and } ;      and = not { "&&" not } ;      not = "!" not | "(" expression ")" | comparison ;
 *     comparison = name ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "~" | "!~" ) value | name "in" "(" value { "," value } ")"
 *                | name "in" block ;
 *     value = number with a unit | "text in quotes" | word
 *
 * Names are status, bytes, request_time, upstream_time, time, client, method, path, target, host, agent, referer,
 * upstream, variant, and nginx's variables; one that is spelled much like a name of these is written $staus. Numbers: `status>=500`, `request_time>500ms` (seconds without a unit),
 * `bytes>1MiB`, `time>=2026-03-12T10:00:00Z`. `client in 10.0.0.0/8`. `~` is a regular expression (PCRE2), found
 * anywhere. A comparison with what a record does not say is false, whatever the operator; `!` in front makes it true.
 *
 * Compiled once; immutable but for the memory of its regular expressions: one thread. */
#pragma once

#include "base/err.h"
#include "logs/line_format.h"

#define FILTER_NODES_MAX 128u
#define FILTER_TEXT_MAX 4096u
#define FILTER_DEPTH_MAX 32u
/* How much work a regular expression may do on one value (PCRE2's match limit). */
#define FILTER_REGEX_STEPS_MAX 100000u
#define FILTER_REGEX_KIB_MAX 8192u

struct filter;

/* -1 with the sentence and the column: "column 9: …". Empty text takes every record. */
MUST_CHECK int filter_compile(struct filter **out, struct slice text, struct err *err);
void filter_free(struct filter *f); /* NULL is fine */
/* Seats of variables by name: asked once for each name that the filter has, again when the reader has met new ones. */
void filter_bind(struct filter *f, enum log_field (*field_of)(const void *context, struct slice name),
                 const void *context);
bool filter_takes(struct filter *f, const struct log_entry *e);
/* How often a regular expression gave up at its limits so far. Then neither ~ nor !~ holds, nor does `!` in front make
 * it so: the record is taken only if the rest of the filter decides. */
uint64_t filter_gave_up(const struct filter *f);
/* A name in the filter of which lines of that format, to which it was bound, never say anything; empty: there is none. */
struct slice filter_unsaid(const struct filter *f, const struct line_format *format);
/* A lower and an upper bound of `time` that every record it takes keeps, for searching sorted files; 0 and UINT64_MAX if
 * there is none. Seconds since 1970. */
void filter_time_bounds(const struct filter *f, uint64_t *from_s, uint64_t *to_s);
