/* logs/time_search.h: where in a file that is sorted by time a moment begins, by binary search: a few dozen reads
 * whatever the file's size. nginx writes a line when its request ends, but stamps it with a cached time, and several workers
 * write one file: lines may be out of order by a little, so the search goes back by TIME_SEARCH_SLACK_S. */
#pragma once

#include "base/err.h"
#include "logs/line_format.h"

#define TIME_SEARCH_SLACK_S 60u

/* *offset: the beginning of a line, before which no line has a time of time_s or later as far as the file is sorted; 0 if
 * lines give no times. `size`: as of now. */
MUST_CHECK int time_search(int fd, uint64_t size, const struct line_format *format, uint64_t time_s,
                           uint64_t *offset, struct err *err);
