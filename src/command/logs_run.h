/* command/logs_run.h: what the commands of `weir logs` have in common: their options, reading all files, and putting out
 * what was made of them. One thread. */
#pragma once

#include <stdio.h>

#include "base/json.h"
#include "base/text.h"
#include "command/logs_file.h"
#include "logs/entry_value.h"

#define LOGS_TEXT_MAX (8u << 20)
#define LOGS_ERROR_LOGS_MAX 256u

/* For people, unless --format says another. */
enum logs_output {
    LOGS_PEOPLE,
    LOGS_TEXT,
    LOGS_JSON,
    LOGS_CSV,
    LOGS_NFT,
    LOGS_NGINX_DENY,
    LOGS_WEIR,
    LOGS_OUTPUTS
};

struct logs_options {
    const char *log_format, *nginx_conf, *where, *output_name;
    enum logs_output output;
    uint32_t top;          /* 0: not given */
    uint64_t min;          /* likewise */
    uint64_t from_s, to_s; /* 0: from the beginning, to the end */
    unsigned v4_bits, v6_bits;
    int field_at;          /* of a list in `field`: 0 the first, -1 the last */
    enum log_field client; /* where the address stands */
    bool is_json, is_quiet;
    const char *error_logs[LOGS_ERROR_LOGS_MAX]; /* of why */
    uint32_t error_log_count;
    uint64_t slow_ms;  /* likewise; 0: not given */
    bool is_following; /* likewise */
    char **files;
    int file_count;
};

/* What a command does; first in its own struct. */
struct logs_run {
    const struct logs_options *options;
    struct logs_job job;
    struct log_format format;
    uint64_t malformed, started_ns;
    uint32_t unread;  /* files of which some or all could not be read */
    bool is_terminal; /* for progress */
    FILE *out;        /* of grep */
    /* Before the files are read; what it needs is there. An exit code. May be NULL. */
    int (*before)(struct logs_run *r, struct err *err);
};

/* Exit codes, with what is wrong on stderr. `r` is all 0 but for job.on_entry, and job.on_malformed if it is not only to be
 * counted. */
int logs_run_job(const struct logs_options *o, struct logs_run *r);
/* The report is there, but something may be missing in it. */
int logs_run_end(const struct logs_run *r, int code);

int logs_print_text(const struct text *t);
int logs_print_json(struct json *j);
/* LOGS_TEXT_MAX bytes; NULL: it is said. */
char *logs_output_memory(void);

/* The commands. */
int logs_stats(const struct logs_options *o);
int logs_errors(const struct logs_options *o);
int logs_paths(const struct logs_options *o);
int logs_ips(const struct logs_options *o);
int logs_slow(const struct logs_options *o);
int logs_grep(const struct logs_options *o);
int logs_why(const struct logs_options *o);
