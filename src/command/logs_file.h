/* command/logs_file.h: reading one log file (or standard input) from its beginning or from a moment on, in whatever format
 * it is. One thread. */
#pragma once

#include "logs/filter.h"
#include "logs/intake.h"
#include "logs/log_format.h"

struct logs_job {
    const struct log_format *format;
    struct filter *filter; /* NULL: every record */
    uint64_t from_s, to_s; /* of the records' times; 0 and UINT64_MAX: all */
    void (*on_entry)(void *context, const struct log_entry *e);
    void (*on_malformed)(void *context, struct slice line);
    /* Those that the filter or their time leaves out. May be NULL. */
    void (*on_other)(void *context, const struct log_entry *e);
    /* Where variables stand in what follows: before each piece, since readers of JSON meet new ones. May be NULL. */
    void (*on_names)(void *context, enum log_field (*field_of)(const void *reader, struct slice name),
                     const void *reader);
    /* Now and then; total is 0 if not known. May be NULL. */
    void (*on_progress)(void *context, uint64_t done, uint64_t total);
    /* What the reader of the report is to know: of a format that was guessed, of a filter that asks for what the lines do not
     * say. May be NULL. */
    void (*on_note)(void *context, const char *sentence);
    void *context;
    bool is_stopped; /* set by a callback: enough */
    uint64_t bytes;  /* read so far, over all files */
};

/* "-" is standard input. -1 with the sentence: the file cannot be read, or its format cannot be told. */
MUST_CHECK int logs_file_read(struct logs_job *job, const char *path, struct err *err);
