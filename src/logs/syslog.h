/* logs/syslog.h: nginx's access_log syslog:server=…: one record a datagram, in the form of RFC 3164. Pure. */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

/* nginx cuts messages at 2 KiB less its head; others send more. */
#define SYSLOG_DATAGRAM_MAX (64u << 10)

/* The record within "<190>Mar 12 10:00:01 host nginx: RECORD"; the host may be left out (nohostname). False: it is of
 * another form. */
bool syslog_message(struct slice datagram, struct slice *message);
