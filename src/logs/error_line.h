/* logs/error_line.h: one line of nginx's error log, taken apart:
 *
 *     2026/03/12 10:00:01 [error] 812#812: *45 connect() failed (111: Connection refused) while connecting to upstream,
 *     client: 192.0.2.7, server: _, request: "GET / HTTP/1.1", upstream: "http://10.0.0.1:80/", host: "example.org"
 *
 * nginx writes what clients sent as it came, cuts a line at 2048 bytes, and cannot be told which quote was a client's:
 * such a line is read as far as it makes sense. Pure; linear in the line; values lie within it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum error_level {
    ERROR_DEBUG,
    ERROR_INFO,
    ERROR_NOTICE,
    ERROR_WARN,
    ERROR_ERROR,
    ERROR_CRIT,
    ERROR_ALERT,
    ERROR_EMERG,
    ERROR_LEVEL_COUNT
};

struct error_line {
    uint64_t local_s; /* the time that the line shows, as if it were UTC: the log does not say its zone */
    enum error_level level;
    uint64_t connection;  /* nginx's number of it; 0: of none */
    struct slice message; /* from there to the fields; without what nginx was doing */
    struct slice action;  /* what it was doing, behind " while "; empty: it does not say */
    int code;             /* the system's number in "(111: Connection refused)"; 0: none */
    struct slice client, server, request, upstream, host, referer; /* data NULL: it does not say */
    bool is_cut;                                                   /* it ends within a field */
};

/* How much of a line is looked at. */
#define ERROR_LINE_MAX 4096u

/* What stands before the time (syslog's, Docker's) is passed over. False: it is no such line. */
bool error_line_read(struct slice line, struct error_line *out);
/* The address within an upstream's URL, as $upstream_addr has it: "10.0.0.1:80", "unix:/run/app.sock". */
struct slice error_line_server(struct slice upstream);
