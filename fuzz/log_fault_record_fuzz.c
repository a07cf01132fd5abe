/* A record of an access log with every variable that is looked at: what is judged of it lies within it, and whatever cannot be
 * told says what would tell it. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "logs/entry_value.h"
#include "logs/fault_record.h"
#include "logs/line_format.h"
#include "logs/scan.h"

#define FORMAT                                                                                     \
    "$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent "             \
    "$request_length $request_time [$upstream_addr] [$upstream_status] [$upstream_connect_time] "  \
    "[$upstream_header_time] [$upstream_response_time] \"$request_completion\" $limit_req_status " \
    "$limit_conn_status $upstream_bytes_received"

static enum log_field field_of(const void *format, struct slice name)
{
    return line_format_field(format, name);
}

static void judge(const struct log_entry *e, const struct fault_seats *seats, bool has_error_log)
{
    struct fault_tries tries;
    struct fault_verdict v;
    const struct fault_asked asked = { .slow_us = 1000, .has_error_log = has_error_log };
    fault_read_tries(e, &tries);
    fault_of_record(e, &tries, seats, &asked, &v);
    if ((unsigned)v.kind >= FAULT_KIND_COUNT) abort();
    if (v.kind != FAULT_NONE && !v.evidence) abort();
    if (v.server.len &&
        (v.server.data < e->line.data || v.server.data + v.server.len > e->line.data + e->line.len))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct line_format format;
    static bool is_compiled;
    struct err err = { "" };
    if (!is_compiled && line_format_compile(&format, SLICE(FORMAT), LINE_ESCAPE_DEFAULT, &err) < 0) abort();
    is_compiled = true;
    struct line_clock clock = { 0 };
    struct log_entry e = { 0 };
    struct fault_seats seats;
    char *line = calloc(1, size + SCAN_SLACK);
    if (!line) abort();
    memcpy(line, data, size);
    fault_seats_find(&seats, field_of, &format);
    if (line_format_read(&format, (struct slice){ line, size }, &clock, &e)) {
        judge(&e, &seats, false);
        judge(&e, &seats, true);
    }
    free(line);
    return 0;
}
