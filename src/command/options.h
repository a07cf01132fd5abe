/* command/options.h: what may stand behind a command's name, as rows: from them come the parser, what it says of mistakes,
 * --help, and the pages and completions that list every command. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/text.h"

enum option_kind {
    OPTION_FLAG = 1, /* fills a bool */
    OPTION_TEXT,     /* const char *, of the command line's life; the last one counts */
    OPTION_TEXTS, /* may be given again: an array of `max` of them at `offset`, their number, an uint32_t, at `count_at` */
    OPTION_U32, /* these three: a number from `min` to `max` */
    OPTION_U64,
    OPTION_DOUBLE,
    OPTION_TAKE,  /* take() makes of it what it likes */
    OPTION_GROUP, /* the rows of `group`, for a struct at `offset` */
    OPTION_TITLE  /* in --help a line of its own: `help` */
};

struct option_row {
    enum option_kind kind;
    char letter;          /* 0: none */
    bool is_unlisted;     /* understood, and not shown */
    const char *name;     /* without dashes */
    const char *argument; /* as --help calls it; NULL for a flag */
    const char *help;     /* a line, or several with '\n' between them */
    size_t offset, count_at;
    double min, max;
    const char *once; /* not NULL: a second one is refused, with this as remedy */
    int (*take)(void *target, const char *value, struct err *err);
    const struct option_row *group;
};

struct syntax {
    const char *command; /* "logs follow" */
    const char *usage;   /* what stands behind "Usage: weir ", and what it is about: whole lines */
    const struct option_row *options; /* ends with a row of zeros; NULL: none but --help */
    const char *notes;                /* whole lines at the end; NULL: none */
    const struct syntax *const
        *subs; /* of the words that may follow, those with options of their own; ends with NULL */
};

/* What was given that is no option, in order. */
struct words {
    char **items;
    int count;
};

/* EX_OK; -1: help was asked for, and is given; EX_USAGE: it is said what is wrong. argv[0] is the command. Options may stand
 * before words and behind them; "--" ends them. `words` NULL: there may be none. */
MUST_CHECK int options_parse(const struct syntax *s, int argc, char **argv, void *target,
                             struct words *words);
/* Says it on stderr, and where more is told. EX_USAGE. */
int options_fault(const struct syntax *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* For words, of which there may be so many. */
int options_too_many(const struct syntax *s, const struct words *words, int max);
void options_print_help(const struct syntax *s, FILE *out);
/* Calls it for each row that is an option, those of groups as well. */
void options_each(const struct option_row *rows, void (*on_row)(void *context, const struct option_row *row),
                  void *context);
