/* logs/line_format.h: nginx's log_format, compiled, and the reading of one line by it. Immutable once compiled.
 *
 * A format is literal text and variables in turn. A value reaches to the next literal; quotes, backslashes and control
 * bytes in values are escaped (nginx's escape=default: \xXX; escape=json and Apache: \"), so a literal that begins with
 * a quote cannot occur within a value; one that begins with a blank can, in values written by escape=none. */
#pragma once

#include "base/err.h"
#include "logs/entry.h"

#define LINE_FORMAT_STEPS_MAX 64u
#define LINE_FORMAT_TEXT_MAX 4096u

enum line_escape { LINE_ESCAPE_DEFAULT, LINE_ESCAPE_JSON, LINE_ESCAPE_NONE };

/* What a value may hold that is not the literal which ends it: a quote behind a backslash; the blanks of a list of
 * several attempts (`10.0.0.1:80, 10.0.0.2:80 : 10.0.0.3:80`), which nginx writes as it is. */
enum line_inner { LINE_INNER_NOTHING, LINE_INNER_QUOTES, LINE_INNER_LIST };

/* A value, and the literal that ends it; the last literal may be empty: the end of the line. */
struct line_step {
    uint8_t field;            /* enum log_field */
    uint8_t inner;            /* enum line_inner */
    uint16_t at, literal_len; /* in text */
};

struct line_format {
    uint16_t step_count, head_len; /* head: the literal before the first value, at the text's start */
    uint16_t text_len, name_count;
    enum line_escape escape;
    struct line_step steps[LINE_FORMAT_STEPS_MAX];
    struct slice names[LOG_FIELD_MAX - LOG_FURTHER]; /* of the further seats; in text */
    char text[LINE_FORMAT_TEXT_MAX + 8];             /* it is read eight bytes at a time */
};

extern const char *const line_format_combined;

/* `text`: as in log_format, its quoted parts joined: `$remote_addr - [$time_local] "$request"`, ${name} too. -1 with the
 * sentence: two variables without text between them, too many, a name that is none. */
MUST_CHECK int line_format_compile(struct line_format *f, struct slice text, enum line_escape escape,
                                   struct err *err);
/* The seat of a variable: LOG_FIELD_MAX if the format does not have it. */
enum log_field line_format_field(const struct line_format *f, struct slice name);

/* Reads one line (without its newline). 32 readable bytes must follow it. False: it is not of this format; then the
 * entry's values are not to be used. Times of one second are worked out once: `clock` is the reader's memory of it. */
struct line_clock {
    char text[32];
    uint8_t len;
    uint64_t time_s;
};
/* Sets the entry's time_s from its values. */
void line_clock_set(struct line_clock *clock, struct log_entry *e);
bool line_format_read(const struct line_format *f, struct slice line, struct line_clock *clock,
                      struct log_entry *out);
