/* command/logs_why.h: `weir logs why`: what went wrong, by nginx's logs. What was found, and how it is told. One thread. */
#pragma once

#include "command/logs_run.h"
#include "logs/fault_tally.h"
#include "logs/fault_verdict.h"

/* So many requests that --where takes are told one by one; if it takes more, they are counted. */
#define WHY_STORIES_MAX 3u
#define WHY_SLOW_MS 1000u

/* One request, as it is told: attempts, lines of the error log, the verdict. */
struct why_story {
    struct fault_verdict verdict;
    uint64_t time_s;
    char *text; /* owned: what people read */
    size_t text_len;
};

struct why {
    struct logs_run run;         /* first */
    struct logs_options options; /* as they were given, but for the files */
    struct fault_tally tally;
    struct fault_join *join;
    struct fault_seats seats;
    struct err fault; /* not empty: it cannot go on */
    int zone_s;       /* of the error logs, as far as is known */
    bool has_errors;
    uint64_t error_lines, error_strange,
        caches[4];              /* error_strange: lines that are no lines of an error log */
    struct filter *line_filter; /* --where, bound to what error logs say; NULL: every line */
    uint64_t taken;             /* records that --where took */
    struct why_story stories[WHY_STORIES_MAX];
    uint32_t story_count;
};

/* logs_why.c: a record that was asked for, one that was not, a line of an error log; where a log has what. */
void why_take_record(void *context, const struct log_entry *e);
void why_take_other(void *context, const struct log_entry *e);
void why_take_error_line(void *context, const struct log_entry *e);
void why_find_seats(void *context, enum log_field (*field_of)(const void *reader, struct slice name),
                    const void *reader);
enum log_field why_field_of_line(const void *context, struct slice name);
/* logs_why_follow.c: tells each fault as it comes, until it is interrupted. An exit code. */
int why_follow(struct why *w);

/* logs_why_story.c: of a line of an error log for which no record came. */
void why_tell_line(struct why *w, enum fault_kind kind, uint64_t time_s, struct slice text);
/* Puts out what was told, and forgets it. */
void why_say(struct why *w);
/* Of a record that was taken. */
void why_tell(struct why *w, const struct log_entry *e, const struct fault_tries *tries,
              const struct fault_verdict *verdict, const struct fault_waiting *lines, uint32_t line_count);
/* logs_why_report.c: an exit code. */
int why_print_text(const struct why *w);
int why_print_json(const struct why *w);

/* "2026-03-12T10:00:01Z"; "-" if it is not known. */
#define WHY_TIME_MAX 32u
const char *why_time(uint64_t time_s, char out[WHY_TIME_MAX]);
