/* command/logs_follow.h: `weir logs follow`: the records of a log as they come: of one that a running weir watches, or of a
 * file. */
#pragma once

#include "base/err.h"
#include "base/slice.h"
#include "command/options.h"

int logs_follow(int argc, char **argv);
extern const struct syntax logs_follow_syntax;

/* logs_follow_file.c: without a weir that watches it. */
struct logs_follow_file {
    const char *path;               /* its last part may have *, ? and [] */
    const char *log_format, *where; /* NULL: auto; every record */
    void (*on_event)(void *context,
                     struct slice bytes); /* server-sent events, as a running weir would send them */
    void *context;
};
/* Until it is interrupted. An exit code, with the sentence in `err`. */
int logs_follow_file(const struct logs_follow_file *what, struct err *err);
