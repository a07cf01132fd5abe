/* record/access_line.h: the line of an access log that is being written, for the files that write parts of it. */
#pragma once

#include "record/access_format.h"

struct access_line {
    const struct access_format *format;
    const struct access_op *op;
    const struct access_clock *clock;
    const struct access_entry *entry;
    struct text *out;
};

/* What an exchange does not have: "-", or nothing where the format escapes for JSON. */
void access_line_missing(const struct access_line *l);
/* An empty name is none. */
void access_line_name(const struct access_line *l, struct slice name);
