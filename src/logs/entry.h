/* logs/entry.h: one record of a log, as its reader hands it on: which variable has which bytes. Values are slices of the
 * reader's buffer and live until it reads on; they are as they were written, escapes included. Derived values are worked
 * out when somebody first asks. One thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/slice.h"

/* X(identifier, nginx's variable). Those without a seat of their own get one of the further seats by name. */
#define LOG_FIELDS(X)                                 \
    X(CLIENT, "remote_addr")                          \
    X(USER, "remote_user")                            \
    X(TIME_LOCAL, "time_local")                       \
    X(TIME_ISO, "time_iso8601")                       \
    X(MSEC, "msec")                                   \
    X(REQUEST, "request")                             \
    X(METHOD, "request_method")                       \
    X(TARGET, "request_uri")                          \
    X(PROTOCOL, "server_protocol")                    \
    X(STATUS, "status")                               \
    X(BODY_BYTES, "body_bytes_sent")                  \
    X(BYTES, "bytes_sent")                            \
    X(REQUEST_LENGTH, "request_length")               \
    X(REQUEST_TIME, "request_time")                   \
    X(HOST, "host")                                   \
    X(REFERER, "http_referer")                        \
    X(AGENT, "http_user_agent")                       \
    X(XFF, "http_x_forwarded_for")                    \
    X(UPSTREAM, "upstream_addr")                      \
    X(UPSTREAM_STATUS, "upstream_status")             \
    X(UPSTREAM_CONNECT_TIME, "upstream_connect_time") \
    X(UPSTREAM_HEADER_TIME, "upstream_header_time")   \
    X(UPSTREAM_TIME, "upstream_response_time")        \
    X(VARIANT, "weir_variant")                        \
    X(REQUEST_ID, "request_id")

enum log_field {
#define X(id, name) LOG_##id,
    LOG_FIELDS(X)
#undef X
        LOG_FURTHER,                 /* the first of the further seats */
    LOG_FIELD_MAX = LOG_FURTHER + 16 /* how many there are at most */
};

struct log_entry {
    struct slice values[LOG_FIELD_MAX]; /* data NULL: the record does not say */
    struct slice line;                  /* the whole record */
    /* Always worked out: */
    uint64_t time_s;           /* seconds since 1970; 0: not known */
    uint32_t status;           /* 0: not known */
    uint64_t bytes;            /* sent; 0 if not known */
    uint64_t request_us;       /* UINT64_MAX: not known */
    uint64_t upstream_us;      /* the sum over the attempts; likewise */
    struct ip client;          /* all zero: not known */
    struct slice method, path; /* of the request; path without query, as written */
    bool is_binary; /* the request is no HTTP ("\\x16\\x03…"): then there is neither method nor path */
};
