/* record/access_message.h: a line of the access log as a message for syslog (RFC 5424) or for journald (systemd,
 * JOURNAL_NATIVE_PROTOCOL). Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/text.h"

/* Fits in a datagram of UDP over IPv6; longer lines are cut, and end with "...". */
#define ACCESS_MESSAGE_MAX 65000u
/* With the length before it. */
#define ACCESS_MESSAGE_ROOM (ACCESS_MESSAGE_MAX + 8u)

/* What a worker puts before the line ends with it. No line and no value has it: what comes from outside is escaped, and a format has
 * no control characters. */
#define ACCESS_MESSAGE_MARK '\x1f'

enum access_message_kind {
    ACCESS_MESSAGE_SYSLOG,
    ACCESS_MESSAGE_SYSLOG_COUNTED, /* with its length before it (RFC 6587, 3.4.1) */
    ACCESS_MESSAGE_JOURNALD,
};

struct access_message_form {
    enum access_message_kind kind;
    uint32_t facility, severity;
    const char *tag, *host; /* borrowed; host: NULL or empty is "-" */
    int pid;
};

/* The template of what a worker puts before the line, without the mark behind it: for access_format_compile_own(). */
struct slice access_message_prefix(enum access_message_kind kind);

/* Appends the message of `line`, which is prefix, mark and text without a newline. `out` has room for
 * ACCESS_MESSAGE_ROOM; more is never written. */
void access_message_make(const struct access_message_form *form, struct slice line, struct text *out);
