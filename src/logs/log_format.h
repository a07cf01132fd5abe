/* logs/log_format.h: what a log looks like: lines of a log_format, or JSON objects. Immutable once made. */
#pragma once

#include "logs/line_format.h"

struct log_format {
    struct line_format lines;
    bool is_json, is_auto; /* auto: to be told by the file's first lines */
    const char *guess;     /* static: what a guess took it for; NULL: it was told, or leaves no doubt */
};

/* "combined", "json", "auto", or a log_format's text with variables, behind escape=json if it is so. */
MUST_CHECK int log_format_parse(struct log_format *out, const char *text, struct err *err);
/* What nginx's own configuration says of a log at that path, or of all that a pattern with * and ? takes. -1 where it
 * names none, or several that differ. */
MUST_CHECK int log_format_of_nginx(struct log_format *out, const char *nginx_conf, const char *log_path,
                                   struct err *err);
/* logs/format_guess.c: by the first lines of a log: the formats that nginx's own packages, ingress-nginx and Apache's ship
 * and their kin. Each value must look like what it is taken for, in nine of ten lines; what follows the usual fields and
 * looks like none of them is left alone. `path` is for the sentence. */
MUST_CHECK int log_format_guess(struct slice first, struct log_format *out, const char *path,
                                struct err *err);
