/* logs/entry_value.h: the values of an entry as numbers, times and addresses. Pure; hostile bytes are "not known". */
#pragma once

#include "logs/entry.h"

/* Digits only, at most 19; false for anything else. */
bool entry_u64(struct slice text, uint64_t *out);
/* "0.123", "12", as nginx writes seconds, in microseconds; UINT64_MAX if it is none ("-"). */
uint64_t entry_seconds_us(struct slice text);
/* The next element of a list over attempts, "a, b : c": commas stand between attempts, colons between groups of servers.
 * False: there is none. */
bool entry_next_attempt(struct slice *rest, struct slice *element);
/* The sum of a list over attempts, "0.1, 0.2 : -": UINT64_MAX if there is no number in it. */
uint64_t entry_seconds_sum_us(struct slice text);
/* The last number of such a list of statuses; 0 if there is none. */
uint32_t entry_last_status(struct slice text);
/* "12/Mar/2026:10:00:01 +0100"; 0 if it is none. */
uint64_t entry_time_local_s(struct slice s);
/* "2026-03-12T10:00:01+01:00", "…Z", with fractions; 0 if it is none. */
uint64_t entry_time_iso_s(struct slice s);
/* How far the clock that wrote the record's time is before UTC, in seconds; false: the time does not say. */
bool entry_zone_s(const struct log_entry *e, int *offset_s);
/* Dotted quads without a system call or a copy, other addresses by inet_pton. */
bool entry_ip(struct slice text, struct ip *out);
/* "GET /x HTTP/1.1" in three; false if it is not of that form. A target may hold blanks: the last one ends it. */
bool entry_request(struct slice text, struct slice *method, struct slice *target, struct slice *protocol);
/* Works out what struct log_entry promises from its values. `time_s` is set by the reader. */
void entry_derive(struct log_entry *e);
