/* command/demo_log.h: the access log of the demo's servers, sent as nginx sends its own by syslog to a source of weir's (logs:
 * sources:), so that there is a log to watch and no file that grows. One thread writes. */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

/* What a line has, as the source's `format`. */
#define DEMO_LOG_FORMAT \
    "$host $remote_addr - - [$time_local] \"$request\" $status $body_bytes_sent $request_time"

struct demo_log {
    int fd;
    uint16_t port; /* of 127.0.0.1, by UDP: nobody had it when it was chosen */
};

struct demo_log_line {
    struct slice server, method, target;
    struct slice user; /* a number, which stands for a client; empty: 127.0.0.1 */
    uint16_t status;
    uint64_t bytes, took_ms;
};

MUST_CHECK int demo_log_open(struct demo_log *log, struct err *err);
/* What nobody reads, or there is no room for, is lost. */
void demo_log_write(struct demo_log *log, const struct demo_log_line *line);
void demo_log_close(struct demo_log *log);
