/* record/access_log_conf.h: `access_log:` in the configuration, and its format compiled to a list of
 * operations. A compiled format is one value without pointers: copy it as you like. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/text.h"
#include "conf/field.h"
#include "record/access_target_conf.h"

#define ACCESS_FORMAT_OPS_MAX 128u
#define ACCESS_FORMAT_TEXT_MAX 2048u

/* X(identifier, name in templates). nginx's own names mean what they mean there. */
#define ACCESS_VARIABLES(X)                               \
    X(ARGS, "args")                                       \
    X(BODY_BYTES_SENT, "body_bytes_sent")                 \
    X(BYTES_SENT, "bytes_sent")                           \
    X(CONNECTION, "connection")                           \
    X(CONNECTION_REQUESTS, "connection_requests")         \
    X(GZIP_RATIO, "gzip_ratio")                           \
    X(HOST, "host")                                       \
    X(HOSTNAME, "hostname")                               \
    X(MSEC, "msec")                                       \
    X(PID, "pid")                                         \
    X(QUERY_STRING, "query_string")                       \
    X(REMOTE_ADDR, "remote_addr")                         \
    X(REMOTE_PORT, "remote_port")                         \
    X(REMOTE_USER, "remote_user")                         \
    X(REQUEST, "request")                                 \
    X(REQUEST_ID, "request_id")                           \
    X(REQUEST_LENGTH, "request_length")                   \
    X(REQUEST_METHOD, "request_method")                   \
    X(REQUEST_TIME, "request_time")                       \
    X(REQUEST_URI, "request_uri")                         \
    X(SCHEME, "scheme")                                   \
    X(SERVER_PROTOCOL, "server_protocol")                 \
    X(SSL_CIPHER, "ssl_cipher")                           \
    X(SSL_CLIENT_S_DN, "ssl_client_s_dn")                 \
    X(SSL_CLIENT_VERIFY, "ssl_client_verify")             \
    X(SSL_PROTOCOL, "ssl_protocol")                       \
    X(SSL_SERVER_NAME, "ssl_server_name")                 \
    X(SSL_SESSION_REUSED, "ssl_session_reused")           \
    X(STATUS, "status")                                   \
    X(TIME_ISO8601, "time_iso8601")                       \
    X(TIME_LOCAL, "time_local")                           \
    X(UPSTREAM_ADDR, "upstream_addr")                     \
    X(UPSTREAM_CONNECT_TIME, "upstream_connect_time")     \
    X(UPSTREAM_HEADER_TIME, "upstream_header_time")       \
    X(UPSTREAM_RESPONSE_TIME, "upstream_response_time")   \
    X(UPSTREAM_STATUS, "upstream_status")                 \
    X(URI, "uri")                                         \
    X(WEIR_CLIENT_FINGERPRINT, "weir_client_fingerprint") \
    X(WEIR_CLIENT_NAMES, "weir_client_names")             \
    X(WEIR_COMPRESSION, "weir_compression")               \
    X(WEIR_DATAGRAMS_IN, "weir_datagrams_in")             \
    X(WEIR_DATAGRAMS_OUT, "weir_datagrams_out")           \
    X(WEIR_END, "weir_end")                               \
    X(WEIR_GRPC_STATUS, "weir_grpc_status")               \
    X(WEIR_ID, "weir_id")                                 \
    X(WEIR_LISTENER, "weir_listener")                     \
    X(WEIR_ORIGIN, "weir_origin")                         \
    X(WEIR_POOL, "weir_pool")                             \
    X(WEIR_REASON, "weir_reason")                         \
    X(WEIR_ROUTE, "weir_route")                           \
    X(WEIR_SERVER, "weir_server")                         \
    X(WEIR_SPLIT, "weir_split")                           \
    X(WEIR_TIME, "weir_time")                             \
    X(WEIR_TRACE_ID, "weir_trace_id")                     \
    X(WEIR_VARIANT, "weir_variant")

enum access_code {
    ACCESS_LITERAL,        /* a piece of the format's text */
    ACCESS_REQUEST_FIELD,  /* $http_NAME */
    ACCESS_RESPONSE_FIELD, /* $sent_http_NAME */
#define X(id, name) ACCESS_##id,
    ACCESS_VARIABLES(X)
#undef X
        ACCESS_CODE_COUNT
};

enum access_escape { ACCESS_ESCAPE_DEFAULT /* nginx's \xXX */, ACCESS_ESCAPE_JSON };

struct access_op {
    uint8_t code;     /* enum access_code */
    uint8_t field_id; /* fields: enum http_field_id of the name */
    uint16_t at, len; /* literals and fields' names: a piece of text[] */
};

struct access_format {
    enum access_escape escape;
    uint16_t op_count;
    uint16_t source_len; /* text[0 .. source_len) is what was configured; what it stands for follows */
    uint16_t text_len;
    struct access_op ops[ACCESS_FORMAT_OPS_MAX];
    char text[ACCESS_FORMAT_TEXT_MAX];
};

struct access_log_conf {
    const char *path; /* "-": standard output; NULL: one of these two */
    const struct syslog_conf *syslog;
    const struct journald_conf *journald;
    struct access_format format;
    uint64_t buffer_bytes; /* a worker's */
};

/* "combined", "json", or a template in nginx's variable names; one that begins with "escape=json " is escaped
 * for JSON. */
MUST_CHECK int access_format_compile(struct slice source, struct access_format *out, struct err *err);

/* A template of weir's own, which may have control characters between variables, with the default escaping. */
MUST_CHECK int access_format_compile_own(struct slice source, struct access_format *out, struct err *err);

extern const struct conf_type access_format_type, access_log_conf_type;
