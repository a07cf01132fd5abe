/* http/date.h: the Date of a response (RFC 9110 5.6.7), made once a second. One thread's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

struct http_date {
    uint64_t second;
    uint8_t len; /* 0: none yet */
    char text[31];
};

/* "Sun, 06 Nov 1994 08:49:37 GMT"; lives until the next call. */
struct slice http_date_at(struct http_date *date, uint64_t wall_ns);
/* Reads a date in any of the three forms that RFC 9110 5.6.7 has; seconds since 1970. */
bool http_date_parse(struct slice text, int64_t *seconds);
