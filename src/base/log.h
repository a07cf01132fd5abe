/* base/log.h: messages to stderr, one key=value line each:
 *   time=2026-01-02T15:04:05.123Z level=info event=listening listener=web bind=127.0.0.1:18999
 * Any thread. Before log_start() a line is written at once; from then on it is put in a bounded ring that the
 * writer thread empties, so that a full pipe never stops a worker. Lines that find no room are counted and
 * said later (event=log_dropped count=N). */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* `event` is a snake_case word. `format` gives "key=value key=value"; a value with spaces, quotes or control
 * bytes is passed through LOG_Q by the caller. */
void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Quotes a value if it needs it: log_event(..., "path=%s", log_quote(path, buffer, sizeof(buffer))). Cuts
 * to fit. */
const char *log_quote(const char *value, char *out, uint32_t out_size);

void log_set_level(enum log_level level);

/* What lines are from now on (base/log_line.h), and for LOG_JOURNAL the socket where journald takes them; a line that it does not take
 * goes to stderr as text. Before log_start(). -1: `journal` is no path of a socket. */
enum log_form { LOG_TEXT, LOG_JSON, LOG_JOURNAL };
MUST_CHECK int log_use(enum log_form form, const char *journal, struct err *err);

/* Starts and stops the writer thread; stop writes out what is left. */
MUST_CHECK int log_start(struct err *err);
void log_stop(void);
uint64_t log_dropped(void);

/* At most `burst` lines, then one a second; those held back are counted in `suppressed`, which the next line
 * that passes should say. One per place and thread. */
struct log_limit {
    uint64_t last_ns;
    uint32_t tokens, suppressed;
};
/* True if the line may be written now; *suppressed gets how many were held back since the last. */
int log_limit_pass(struct log_limit *limit, uint64_t now_ns, uint32_t burst, uint32_t *suppressed);
