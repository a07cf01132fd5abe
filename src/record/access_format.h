/* record/access_format.h: one entry of the access log as text, by a compiled format. Worker side. */
#pragma once

#include "base/text.h"
#include "record/access_clock.h"
#include "record/access_log.h"

/* Longer values are cut, and end with "...". */
#define ACCESS_VALUE_MAX 4096u

/* Whether it shows fields of the response. */
bool access_format_wants_response(const struct access_format *format);

/* Adds the line, without a newline; clock must be set to the entry's time. */
void access_format_line(const struct access_format *format, const struct access_clock *clock,
                        const struct access_entry *entry, struct text *out);
