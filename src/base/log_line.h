/* base/log_line.h: one of weir's own messages, as log_event() makes it, in other forms. Pure; any thread. */
#pragma once

#include "base/slice.h"
#include "base/text.h"

/* Under PIPE_BUF, so that lines of several processes into one pipe are not torn. */
#define LOG_JSON_MAX 4096u
#define LOG_JOURNAL_MAX 16384u

/* `line` is "time=… level=… event=… key=value …", with or without its newline. Appends one JSON object (RFC 8259) without a newline: "time", "level" and "event",
 * then a string for each pair. What is no pair, or has a key that was there before or is
 * "text" or "cut", is in "text" with all that follows it. Whatever the line holds, the object is whole: pairs that find no room are left
 * out, and "cut" is true then. `out` has room for LOG_JSON_MAX. */
void log_line_json(struct slice line, struct text *out);
/* Likewise as journald takes it (systemd, JOURNAL_NATIVE_PROTOCOL): MESSAGE with the event and its pairs, PRIORITY, SYSLOG_IDENTIFIER, WEIR_EVENT and
 * a field WEIR_KEY for each pair. `out` has room for LOG_JOURNAL_MAX. */
void log_line_journal(struct slice line, struct text *out);
/* Adds a field as journald takes it: also one whose value has line breaks. */
void log_journal_field(struct text *out, struct slice name, struct slice value);
