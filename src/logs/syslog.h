/* logs/syslog.h: records that come by syslog, one a datagram: nginx's access_log syslog:server=… in the form of RFC 3164, weir's own
 * access log and whoever else speaks as RFC 5424 has it. Pure. */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

/* nginx cuts messages at 2 KiB less its head; others send more. */
#define SYSLOG_DATAGRAM_MAX (64u << 10)

/* The record within "<190>Mar 12 10:00:01 host nginx: RECORD", of which the host may be left out (nohostname), or within
 * "<190>1 2026-03-12T10:00:01Z host weir 4711 access - RECORD". False: it is of another form. */
bool syslog_message(struct slice datagram, struct slice *message);
