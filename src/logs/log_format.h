/* logs/log_format.h: what a log looks like: lines of a log_format, or JSON objects. Immutable once made. */
#pragma once

#include "logs/line_format.h"

struct log_format {
    struct line_format lines;
    bool is_json, is_auto; /* auto: to be told by the file's first line */
};

/* "combined", "json", "auto", or a log_format's text with variables. */
MUST_CHECK int log_format_parse(struct log_format *out, const char *text, struct err *err);
/* What nginx's own configuration says of a log at that path, or of all that a pattern with * and ? takes. -1 where it
 * names none, or several that differ. */
MUST_CHECK int log_format_of_nginx(struct log_format *out, const char *nginx_conf, const char *log_path,
                                   struct err *err);
/* By the first line of a log: the formats that nginx's own packages ship and their kin. `path` is for the sentence. */
MUST_CHECK int log_format_guess(struct slice first, struct log_format *out, const char *path,
                                struct err *err);
