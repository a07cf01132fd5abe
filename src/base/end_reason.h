/* base/end_reason.h: the one list of ways in which an exchange or a tunnel ends. The access log, the
 * metrics, the error page, the API and the dashboard all take their words from here. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum end_origin { ORIGIN_NONE, ORIGIN_CLIENT, ORIGIN_WEIR, ORIGIN_SERVER, ORIGIN_CONFIG };

/* clang-format off */
/* X(identifier, name, origin, status for the client (0: none can be sent), CONNECT if it says that the server could not be
 * reached: no request went to it; else ANY; what it means) */
#define END_REASONS(X)                                                                                               \
    X(NONE, "none", NONE, 0, ANY, "still going on")                                                                  \
    X(OK, "ok", NONE, 0, ANY, "ended as it should")                                                                  \
    /* the client's doing */                                                                                         \
    X(BAD_REQUEST, "bad_request", CLIENT, 400, ANY, "the request is not correct HTTP")                               \
    X(BAD_REQUEST_BODY, "bad_request_body", CLIENT, 400, ANY, "the request body's framing is broken")                \
    X(HEAD_TOO_LARGE, "head_too_large", CLIENT, 431, ANY, "the request head is over the limit")                      \
    X(BAD_PATH, "bad_path", CLIENT, 400, ANY, "the request's path could be read in more than one way")               \
    X(TARGET_TOO_LONG, "target_too_long", CLIENT, 414, ANY, "the request target is over the limit")                  \
    X(BODY_TOO_LARGE, "body_too_large", CLIENT, 413, ANY, "the request body is over the limit")                      \
    X(GRPC_TIMEOUT, "grpc_timeout", CLIENT, 504, ANY, "the time that the client gave its call (grpc-timeout) ran out") \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", CLIENT, 405, ANY, "the method is not served here")                   \
    X(EXPECTATION_FAILED, "expectation_failed", CLIENT, 417, ANY, "only 100-continue can be expected")               \
    X(VERSION_NOT_SUPPORTED, "version_not_supported", CLIENT, 505, ANY, "only HTTP/1.0 and HTTP/1.1 are spoken")     \
    X(CODING_NOT_SUPPORTED, "coding_not_supported", CLIENT, 501, ANY, "only the chunked transfer coding is known")   \
    X(UPGRADE_NOT_SUPPORTED, "upgrade_not_supported", CLIENT, 501, ANY, "the protocol that is asked for is not served here")  \
    X(HEADER_TIMEOUT, "header_timeout", CLIENT, 408, ANY, "the request head did not arrive in time")                 \
    X(BODY_TIMEOUT, "body_timeout", CLIENT, 408, ANY, "the request body stopped arriving, or came too slowly") \
    X(WRITE_TIMEOUT, "write_timeout", CLIENT, 0, ANY, "the client stopped taking the response, or took it too slowly") \
    X(CLIENT_ABORT, "client_abort", CLIENT, 0, ANY, "the client went away before the end")                           \
    X(TLS_FAILED, "tls_failed", CLIENT, 0, ANY, "the TLS handshake with the client failed")                          \
    X(TLS_UNKNOWN_NAME, "tls_unknown_name", CLIENT, 0, ANY, "no certificate or route has the name that the client asks for")  \
    X(TLS_NO_NAME, "tls_no_name", CLIENT, 0, ANY, "the client asks for no name, by which its route would be found")   \
    X(ACME_PROOF, "acme_proof", WEIR, 0, ANY, "a CA was shown the proof of a name (tls-alpn-01), for which it came")  \
    X(NOT_TLS, "not_tls", CLIENT, 0, ANY, "what came is no TLS")                                                     \
    X(HTTP2_PROTOCOL, "http2_protocol", CLIENT, 0, ANY, "what came is not correct HTTP/2")                            \
    X(HTTP2_RESETS, "http2_resets", CLIENT, 0, ANY, "too many requests were taken back, refused or malformed")       \
    X(HTTP2_SETTINGS, "http2_settings", CLIENT, 0, ANY, "too many SETTINGS frames came")                             \
    X(HTTP2_PINGS, "http2_pings", CLIENT, 0, ANY, "too many PING frames came")                                       \
    X(HTTP2_EMPTY_FRAMES, "http2_empty_frames", CLIENT, 0, ANY, "too many frames with nothing in them came")         \
    X(HTTP2_WINDOWS, "http2_windows", CLIENT, 0, ANY, "too many WINDOW_UPDATE frames or tiny windows came")          \
    X(HTTP2_CONTINUATIONS, "http2_continuations", CLIENT, 0, ANY, "a head came in too many pieces, or too large")    \
    X(HTTP2_MEMORY, "http2_memory", CLIENT, 0, ANY, "the HTTP/2 connection would hold more than it may")             \
    X(PLAIN_ON_TLS, "plain_on_tls", CLIENT, 400, ANY, "plain HTTP was sent where TLS is spoken; use https")          \
    X(PROXY_HEADER, "proxy_header", CLIENT, 0, ANY, "the connection does not begin with a correct PROXY header")      \
    /* the gate and other limits of weir's own */                                                                    \
    X(GATE_DENIED, "gate_denied", CLIENT, 403, ANY, "the client's address may not pass")                             \
    X(CLIENT_CONNECTIONS, "client_connections", CLIENT, 429, ANY, "the client has too many connections")             \
    X(RATE_LIMITED, "rate_limited", CLIENT, 429, ANY, "more requests have come than the rate allows")              \
    X(AUTH_REQUIRED, "auth_required", CLIENT, 401, ANY, "the request lacks the credentials that are asked for")           \
    X(AUTH_FAILED, "auth_failed", CLIENT, 401, ANY, "the request's credentials are not accepted")                   \
    X(AUTH_DENIED, "auth_denied", CLIENT, 403, ANY, "this user may not pass here")                                   \
    X(AUTH_CLIENT_LIMIT, "auth_client_limit", CLIENT, 429, ANY, "too many of the client's passwords wait to be checked") \
    X(AUTH_BUSY, "auth_busy", WEIR, 503, ANY, "too many passwords wait to be checked")                               \
    X(AUTH_UNAVAILABLE, "auth_unavailable", SERVER, 503, ANY, "the service that decides who may pass cannot be asked") \
    X(AUTH_TIMEOUT, "auth_timeout", WEIR, 503, ANY, "who the request is of could not be found out in time")          \
    X(MAINTENANCE, "maintenance", WEIR, 503, ANY, "the service is out for maintenance")                              \
    X(CONNECTION_LIMIT, "connection_limit", WEIR, 503, ANY, "weir's connection limit is reached")                    \
    X(NO_DESCRIPTORS, "no_descriptors", WEIR, 503, ANY, "weir is out of file descriptors")                           \
    X(NO_PORTS, "no_ports", WEIR, 503, ANY, "no local port is free by which datagrams could go to a server")         \
    X(NO_MEMORY, "no_memory", WEIR, 503, ANY, "weir's memory limit is reached")                                      \
    X(OVERLOADED, "overloaded", WEIR, 503, ANY, "weir has more to do than it can, and refuses a part of it")            \
    X(DRAINED, "drained", WEIR, 503, ANY, "weir was stopped before the end")                                         \
    X(INTERNAL, "internal", WEIR, 500, ANY, "weir met a state that cannot be")                                       \
    X(TOTAL_TIMEOUT, "total_timeout", WEIR, 504, ANY, "the total time allowed ran out")                              \
    X(LOOP_DETECTED, "loop_detected", CONFIG, 508, ANY, "the request has passed through weir too often")             \
    /* choosing */                                                                                                   \
    X(NO_ROUTE, "no_route", CONFIG, 404, ANY, "no route matches the request")                                        \
    X(ROUTE_UNDECIDED, "route_undecided", CONFIG, 414, ANY, "a route's regular expression gave up on the path")      \
    X(PIN_UNKNOWN, "pin_unknown", CLIENT, 400, ANY, "the server that Weir-Pin names does not exist")                 \
    X(REWRITE_TOO_LONG, "rewrite_too_long", CONFIG, 414, ANY, "the rewritten target is over the limit")              \
    X(REWRITE_BAD_PATH, "rewrite_bad_path", CLIENT, 400, ANY, "the rewritten path would lead elsewhere")             \
    X(FILE_NOT_FOUND, "file_not_found", CLIENT, 404, ANY, "the folder has nothing for this path")                    \
    X(FILE_DENIED, "file_denied", CONFIG, 403, ANY, "the file may not be read")                                      \
    X(FILE_NO_ROOT, "file_no_root", CONFIG, 500, ANY, "the folder that files are read from cannot be entered")       \
    X(FILE_UNREADABLE, "file_unreadable", WEIR, 500, ANY, "the file could not be read")                              \
    X(FILE_CHANGED, "file_changed", WEIR, 500, ANY, "the file changed while it was being sent")                      \
    X(RANGE_OUTSIDE, "range_outside", CLIENT, 416, ANY, "the file has none of the bytes that are asked for")         \
    X(PRECONDITION_FAILED, "precondition_failed", CLIENT, 412, ANY, "the file is not in the state that the request asks for") \
    X(EGRESS_BAD_TARGET, "egress_bad_target", CLIENT, 400, ANY, "X-Egress-Host names no host")                       \
    X(EGRESS_DENIED, "egress_denied", CLIENT, 403, ANY, "the host that X-Egress-Host names is not allowed")          \
    X(EGRESS_UNRESOLVED, "egress_unresolved", SERVER, 502, ANY, "the host that X-Egress-Host names has no address")  \
    X(LEFT_BEHIND, "left_behind", WEIR, 502, ANY, "the response before it on its connection was late or the last")   \
    X(NO_SERVER, "no_server", SERVER, 503, ANY, "no server of the pool can be used")                                 \
    X(QUEUE_FULL, "queue_full", WEIR, 503, ANY, "every server is at its cap and the queue is full")                  \
    X(ANSWER_GIVEN_UP, "answer_given_up", WEIR, 503, ANY, "the server's answer was given up for that of another")    \
    X(OUTRUN, "outrun", WEIR, 503, ANY, "another server, that was asked as well, answered first")                      \
    X(QUEUE_TIMEOUT, "queue_timeout", WEIR, 503, ANY, "no server had room in time")                                  \
    /* the server's doing */                                                                                         \
    X(CONNECT_REFUSED, "connect_refused", SERVER, 502, CONNECT, "the server refused the connection")                 \
    X(CONNECT_TIMEOUT, "connect_timeout", SERVER, 504, CONNECT, "the connection to the server did not open in time") \
    X(CONNECT_FAILED, "connect_failed", SERVER, 502, CONNECT, "the server cannot be reached")                        \
    X(SERVER_TLS_TIMEOUT, "server_tls_timeout", SERVER, 504, CONNECT, "the TLS handshake with the server took too long")  \
    X(SERVER_TLS_FAILED, "server_tls_failed", SERVER, 502, CONNECT, "the TLS handshake with the server failed")      \
    X(SERVER_CERTIFICATE, "server_certificate", SERVER, 502, CONNECT, "the server's certificate is not accepted")    \
    X(SERVER_NOT_TLS, "server_not_tls", SERVER, 502, CONNECT, "the server does not speak TLS")                       \
    X(SERVER_NO_HTTP2, "server_no_http2", SERVER, 502, CONNECT, "the server does not speak HTTP/2")                  \
    X(SERVER_GOAWAY, "server_goaway", SERVER, 502, ANY, "the server closed its HTTP/2 connection to new requests")   \
    X(SERVER_REFUSED, "server_refused", SERVER, 503, ANY, "the server refused the HTTP/2 stream, unread")            \
    X(SERVER_HTTP2, "server_http2", SERVER, 502, ANY, "what the server sent is not correct HTTP/2")                  \
    X(SERVER_HTTP2_FLOOD, "server_http2_flood", SERVER, 502, ANY, "the server sent too much HTTP/2 that says nothing") \
    X(SERVER_TLS_CUT, "server_tls_cut", SERVER, 502, ANY, "the server's TLS ended without a word, as one that is cut") \
    X(SERVER_TLS_BROKEN, "server_tls_broken", SERVER, 502, ANY, "the TLS connection to the server broke")            \
    X(SEND_FAILED, "send_failed", SERVER, 502, ANY, "the server closed while the request was being sent")            \
    X(SEND_TIMEOUT, "send_timeout", SERVER, 504, ANY, "the server stopped taking the request")                       \
    X(FIRST_BYTE_TIMEOUT, "first_byte_timeout", SERVER, 504, ANY, "the server did not begin to answer in time")      \
    X(TRY_TIMEOUT, "try_timeout", SERVER, 504, ANY, "the server did not begin to answer within the time of one try") \
    X(RESPONSE_TIMEOUT, "response_timeout", SERVER, 504, ANY, "the server stopped in the middle of its response")    \
    X(SERVER_CLOSED, "server_closed", SERVER, 502, ANY, "the server closed before it answered")                      \
    X(SERVER_RESET, "server_reset", SERVER, 502, ANY, "the server reset the connection")                             \
    X(RESPONSE_CUT, "response_cut", SERVER, 502, ANY, "the server closed in the middle of its response")             \
    X(BAD_RESPONSE, "bad_response", SERVER, 502, ANY, "the server's response is not correct HTTP")                   \
    X(BAD_RESPONSE_BODY, "bad_response_body", SERVER, 502, ANY, "the response body's framing is broken")             \
    X(RESPONSE_HEAD_TOO_LARGE, "response_head_too_large", SERVER, 502, ANY, "the response head is over the limit")   \
    /* tunnels */                                                                                                    \
    X(IDLE_TIMEOUT, "idle_timeout", NONE, 0, ANY, "nothing was sent in either direction for too long")               \
    X(MOVED, "moved", NONE, 0, ANY, "its server was left, and its client's next datagram began another session")     \
    X(DISPLACED, "displaced", WEIR, 0, ANY, "another client's session took its place, as there were as many as may be") \
    X(HALF_CLOSED_TIMEOUT, "half_closed_timeout", NONE, 0, ANY, "one side had closed and the other did not")         \
    X(CLIENT_RESET, "client_reset", CLIENT, 0, ANY, "the client reset the connection")
/* clang-format on */

enum end_reason {
#define X(id, name, origin, status, stage, means) END_##id,
    END_REASONS(X)
#undef X
        END_REASON_COUNT
};

struct end_reason_info {
    const char *name;  /* snake_case, stable: part of the API */
    const char *means; /* a clause without capital and full stop */
    enum end_origin origin;
    uint16_t status;
    bool is_connect; /* the server could not be reached: no request went to it */
};

/* Never NULL; out of range gives END_INTERNAL's. */
const struct end_reason_info *end_reason_info(enum end_reason reason);
/* "none", "client", "weir", "server", "config". */
const char *end_origin_name(enum end_origin origin);
/* Why a socket could not be opened and connected, by its errno. */
enum end_reason end_reason_of_connect(int error);
/* END_REASON_COUNT if no reason has that name. */
enum end_reason end_reason_by_name(const char *name);
