/* logs/fault_kind.h: the kinds of faults that nginx's logs tell of. What weir has a word for itself (base/end_reason.h) has the
 * same word here, and the same sentence, so that `weir logs why` of nginx and `weir why` speak one language: where a kind is
 * finer than weir's reason, the reason stands beside it. */
#pragma once

#include "base/end_reason.h"
#include "base/slice.h"

/* How a kind counts beside others of one request. */
enum fault_weight {
    FAULT_NOTE,  /* no fault: told only if there is nothing else to tell */
    FAULT_LOCAL, /* of nginx, its files or its client: of no weight where the answer was a good one */
    FAULT_TRY,   /* of one attempt: mended where another attempt gave a good answer */
    FAULT_FINAL  /* the client got no whole answer, whatever the status says */
};

/* clang-format off */
/* X(identifier, name, weir's reason, whose doing, weight, what happened (NULL: as the reason says it), what to do) */
#define FAULT_KINDS(X)                                                                                               \
    /* between nginx and its upstream: no connection */                                                              \
    X(CONNECT_REFUSED, "connect_refused", CONNECT_REFUSED, SERVER, TRY, NULL,                                        \
      "see that the server runs and listens at that address; if it restarts often, look at its own log")             \
    X(CONNECT_TIMEOUT, "connect_timeout", CONNECT_TIMEOUT, SERVER, TRY, NULL,                                        \
      "look for a firewall, a host that is down, or a full backlog of the server; then at proxy_connect_timeout")    \
    X(CONNECT_FAILED, "connect_failed", CONNECT_FAILED, SERVER, TRY, NULL,                                           \
      "the error line has the system's reason: no route, a missing unix socket, or no permission for it (SELinux)")  \
    X(NO_SERVER, "no_server", NO_SERVER, SERVER, TRY, NULL,                                                          \
      "all servers of the upstream are out after max_fails failures within fail_timeout: see what they failed of")   \
    X(NAME_UNRESOLVED, "name_unresolved", EGRESS_UNRESOLVED, SERVER, TRY,                                            \
      "the upstream's name has no address",                                                                          \
      "see that the name exists and the resolver of nginx.conf answers; a name in a variable needs `resolver`")      \
    X(SERVER_TLS_FAILED, "server_tls_failed", SERVER_TLS_FAILED, SERVER, TRY, NULL,                                  \
      "the error line has OpenSSL's reason; compare proxy_ssl_protocols, proxy_ssl_ciphers, proxy_ssl_server_name")  \
    X(SERVER_TLS_TIMEOUT, "server_tls_timeout", SERVER_TLS_TIMEOUT, SERVER, TRY, NULL,                               \
      "the server took the connection and did not shake hands: it is overloaded, or speaks no TLS at that port")     \
    X(SERVER_CERTIFICATE, "server_certificate", SERVER_CERTIFICATE, SERVER, TRY, NULL,                               \
      "compare the certificate with proxy_ssl_name and proxy_ssl_trusted_certificate; it may have expired")          \
    X(SERVER_NOT_TLS, "server_not_tls", SERVER_NOT_TLS, SERVER, TRY, NULL,                                           \
      "that port speaks plain HTTP: write proxy_pass http://, or the port that speaks TLS")                          \
    /* ... the request */                                                                                            \
    X(SEND_FAILED, "send_failed", SEND_FAILED, SERVER, TRY, NULL,                                                    \
      "the server closes while it is sent a body: it has a lower limit for bodies, or crashed; see its log")         \
    X(SEND_TIMEOUT, "send_timeout", SEND_TIMEOUT, SERVER, TRY, NULL,                                                 \
      "the server does not read what it is sent; look at its load, then at proxy_send_timeout")                      \
    /* ... the answer */                                                                                             \
    X(FIRST_BYTE_TIMEOUT, "first_byte_timeout", FIRST_BYTE_TIMEOUT, SERVER, TRY, NULL,                               \
      "the application takes longer than proxy_read_timeout: find what it waits for, or raise that for such paths")  \
    X(SERVER_CLOSED, "server_closed", SERVER_CLOSED, SERVER, TRY, NULL,                                              \
      "the application crashed, was restarted, or closes idle connections before nginx does; see its log")           \
    X(SERVER_RESET, "server_reset", SERVER_RESET, SERVER, TRY, NULL,                                                 \
      "the server closed with unread data or died; or its keep-alive time is shorter than nginx's")                  \
    X(BAD_RESPONSE, "bad_response", BAD_RESPONSE, SERVER, TRY, NULL,                                                 \
      "ask the server without nginx (curl -v): another protocol, or a broken header; the error line quotes it")      \
    X(RESPONSE_HEAD_TOO_LARGE, "response_head_too_large", RESPONSE_HEAD_TOO_LARGE, SERVER, TRY, NULL,                \
      "raise proxy_buffer_size (fastcgi_buffer_size), or find why the application sets so many or large cookies")    \
    X(BAD_RESPONSE_BODY, "bad_response_body", BAD_RESPONSE_BODY, SERVER, FINAL, NULL,                                \
      "the application writes broken chunks, or more than its Content-Length says")                                  \
    X(RESPONSE_CUT, "response_cut", RESPONSE_CUT, SERVER, FINAL, NULL,                                               \
      "the application died while it answered, or a limit of its own ended it; clients got half an answer")          \
    X(RESPONSE_TIMEOUT, "response_timeout", RESPONSE_TIMEOUT, SERVER, FINAL, NULL,                                   \
      "the application paused for longer than proxy_read_timeout within its answer")                                 \
    X(UPSTREAM_5XX, "upstream_5xx", OK, SERVER, FINAL,                                                               \
      "the application itself answered 5xx; nginx passed that on",                                                   \
      "look into the application's own log at that time; nginx and the network did what they should")                \
    /* answers that were good, and yet */                                                                            \
    X(MENDED, "mended", OK, SERVER, NOTE,                                                                            \
      "an attempt at a server failed, and another server, or the cache, answered",                                                  \
      "clients noticed a delay only; mend the servers that failed before the others do as well")                     \
    X(SLOW_CONNECT, "slow_connect", OK, SERVER, NOTE,                                                                \
      "slow, and most of the time went into connecting to the server",                                               \
      "look for lost SYNs, a full backlog, or a far server; keep connections open: `keepalive` in the upstream")     \
    X(SLOW_ANSWER, "slow_answer", OK, SERVER, NOTE,                                                                  \
      "slow, and most of the time the application had not begun to answer",                                          \
      "the application thinks or queues for that long; profile it, or look for what it waits for")                   \
    X(SLOW_BODY, "slow_body", OK, SERVER, NOTE,                                                                      \
      "slow, and most of the time went into the body of the server's answer",                                        \
      "a large or slowly made answer; where nginx does not buffer, a slow client has the same look")                 \
    X(SLOW_RETRIES, "slow_retries", OK, SERVER, NOTE,                                                                \
      "slow, and most of the time went into attempts that failed",                                                   \
      "lower proxy_connect_timeout, and let proxy_next_upstream_timeout bound the whole")                            \
    X(SLOW_CLIENT, "slow_client", OK, CLIENT, NOTE,                                                                  \
      "slow, and most of the time the server was not asked: the client sent or took slowly",                         \
      "nothing is wrong with the servers; a limit that delays (limit_req, limit_rate) has the same look")            \
    /* the client's doing */                                                                                         \
    X(CLIENT_GONE_WAITING, "client_gone_waiting", CLIENT_ABORT, CLIENT, FINAL,                                       \
      "the client went away while it waited for an answer",                                                          \
      "see how long they waited: a time-out of theirs that is shorter than the application's time is the usual one") \
    X(CLIENT_GONE_SENDING, "client_gone_sending", CLIENT_ABORT, CLIENT, FINAL,                                       \
      "the client went away while it was sending its request",                                                       \
      "its network, its own time-out, or a user who stopped an upload")                                              \
    X(CLIENT_GONE_TAKING, "client_gone_taking", CLIENT_ABORT, CLIENT, FINAL,                                         \
      "the client went away while the answer was on its way to it",                                                  \
      "mostly users who go on to another page; if it is one path, look at how large or slow its answer is")          \
    X(HEADER_TIMEOUT, "header_timeout", HEADER_TIMEOUT, CLIENT, LOCAL, NULL,                                         \
      "slow or idle clients, or an attack by slowness; client_header_timeout is the limit")                          \
    X(BODY_TIMEOUT, "body_timeout", BODY_TIMEOUT, CLIENT, LOCAL, NULL,                                               \
      "a client's network stalled; client_body_timeout is the limit between two reads")                              \
    X(WRITE_TIMEOUT, "write_timeout", WRITE_TIMEOUT, CLIENT, FINAL, NULL,                                            \
      "a client's network stalled; send_timeout is the limit between two writes")                                    \
    X(BODY_TOO_LARGE, "body_too_large", BODY_TOO_LARGE, CLIENT, LOCAL, NULL,                                         \
      "raise client_max_body_size where uploads of that size are meant to be")                                       \
    X(HEAD_TOO_LARGE, "head_too_large", HEAD_TOO_LARGE, CLIENT, LOCAL, NULL,                                         \
      "cookies that have grown are the usual reason; large_client_header_buffers is the limit")                      \
    X(TARGET_TOO_LONG, "target_too_long", TARGET_TOO_LONG, CLIENT, LOCAL, NULL,                                      \
      "a form sent by GET is the usual reason; large_client_header_buffers is the limit")                            \
    X(BAD_REQUEST, "bad_request", BAD_REQUEST, CLIENT, LOCAL, NULL,                                                  \
      "the error line says what is wrong with it; mostly scanners and broken clients")                               \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", METHOD_NOT_ALLOWED, CLIENT, LOCAL, NULL,                             \
      "a form or API that is answered by static files, or a scanner; see limit_except")                              \
    X(TLS_FAILED, "tls_failed", TLS_FAILED, CLIENT, LOCAL, NULL,                                                     \
      "the error line has OpenSSL's reason: old clients, scanners, or a certificate that the client does not trust") \
    X(CLIENT_CERTIFICATE, "client_certificate", NONE, CLIENT, LOCAL,                                                 \
      "the client showed no certificate, or one that is not accepted",                                               \
      "compare ssl_client_certificate, ssl_crl and ssl_verify_depth with what the client has")                       \
    X(PLAIN_ON_TLS, "plain_on_tls", PLAIN_ON_TLS, CLIENT, LOCAL, NULL,                                               \
      "send such clients to https by `error_page 497 =301 https://$host$request_uri;`")                              \
    X(TLS_ON_PLAIN, "tls_on_plain", BAD_REQUEST, CLIENT, LOCAL,                                                      \
      "TLS was spoken to a port that takes plain HTTP",                                                              \
      "`ssl` is missing at that `listen`, or the client has the wrong port")                                         \
    /* rules and limits of nginx.conf */                                                                             \
    X(GATE_DENIED, "gate_denied", GATE_DENIED, CLIENT, LOCAL, NULL,                                                  \
      "allow and deny of nginx.conf say so; behind another proxy see set_real_ip_from")                              \
    X(AUTH_REQUIRED, "auth_required", AUTH_REQUIRED, CLIENT, LOCAL, NULL,                                            \
      "the first request of every browser is like this; if there are only these, the client has no password")        \
    X(AUTH_FAILED, "auth_failed", AUTH_FAILED, CLIENT, LOCAL, NULL,                                                  \
      "a wrong password or an unknown user; many from one client are somebody who guesses")                          \
    X(RATE_LIMITED, "rate_limited", RATE_LIMITED, CLIENT, LOCAL, NULL,                                               \
      "limit_req refused it; `burst` and `nodelay` let short bursts through, limit_req_status 429 says it better")   \
    X(RATE_DELAYED, "rate_delayed", OK, CLIENT, NOTE,                                                                \
      "a rate limit held the request back",                                                                          \
      "limit_req with a burst delays what is over its rate; `nodelay` does not")                                     \
    X(CLIENT_CONNECTIONS, "client_connections", CLIENT_CONNECTIONS, CLIENT, LOCAL, NULL,                             \
      "limit_conn refused it; many users behind one address share its count")                                        \
    X(CONNECTION_LIMIT, "connection_limit", CONNECTION_LIMIT, WEIR, LOCAL,                                           \
      "nginx has no connection left",                                                                                \
      "raise worker_connections: a proxied request needs two; keep worker_rlimit_nofile above it")                   \
    X(NO_DESCRIPTORS, "no_descriptors", NO_DESCRIPTORS, WEIR, LOCAL,                                                 \
      "nginx is out of file descriptors",                                                                            \
      "raise worker_rlimit_nofile, and LimitNOFILE= of the service")                                                 \
    X(NO_MEMORY, "no_memory", NO_MEMORY, WEIR, LOCAL,                                                                \
      "nginx could not get memory, or a shared zone is full",                                                        \
      "see what uses the memory; a zone that is full needs a larger size in nginx.conf")                             \
    /* nginx's own files and configuration */                                                                        \
    X(DISK_FULL, "disk_full", NONE, WEIR, LOCAL,                                                                     \
      "the disk is full: a temporary file, cache or log could not be written",                                       \
      "make room where client_body_temp_path, proxy_temp_path or the cache is; bound max_size of the cache")         \
    X(PERMISSION_DENIED, "permission_denied", NONE, CONFIG, LOCAL,                                                   \
      "nginx may not read or write a file",                                                                          \
      "see owner and mode of the file and of each folder above it (namei -l PATH) against `user` of nginx.conf")     \
    X(FILE_NOT_FOUND, "file_not_found", NONE, CLIENT, LOCAL,                                                         \
      "there is no such file",                                                                                       \
      "compare the path of the error line with root and alias of the location")                                      \
    X(DIRECTORY_FORBIDDEN, "directory_forbidden", NONE, CONFIG, LOCAL,                                               \
      "a folder without an index file was asked for, and listing is off",                                            \
      "add the file that `index` names, or `autoindex on`")                                                          \
    X(REDIRECT_LOOP, "redirect_loop", LOOP_DETECTED, CONFIG, LOCAL,                                                  \
      "rewrite, try_files, index or error_page lead in a circle",                                                    \
      "follow the path through the locations; the fallback of try_files must exist, or be =404")                     \
    X(CONFIG_FAULT, "config_fault", NONE, CONFIG, LOCAL,                                                             \
      "nginx refused its configuration, or could not listen",                                                        \
      "nginx -t says it again; after a failed reload the old configuration goes on")                                 \
    X(WORKER_DIED, "worker_died", INTERNAL, WEIR, LOCAL,                                                             \
      "a worker of nginx crashed",                                                                                   \
      "a faulty module is the usual reason; the kernel may have killed it for memory (dmesg)")                       \
    X(OTHER, "other", NONE, NONE, LOCAL,                                                                             \
      "the error log has a line that has no name here",                                                              \
      "read it")                                                                                                     \
    /* what the logs leave open */                                                                                   \
    X(UNCLEAR_400, "unclear_400", NONE, NONE, LOCAL,                                                                 \
      "cannot tell why: nginx found fault with the request, or the application did", "")                             \
    X(UNCLEAR_403, "unclear_403", NONE, NONE, LOCAL,                                                                 \
      "cannot tell why: a deny rule, permissions of a file, a folder without an index, or the application", "")      \
    X(UNCLEAR_429, "unclear_429", NONE, NONE, LOCAL,                                                                 \
      "cannot tell why: limit_req, limit_conn, or the application", "")                                              \
    X(UNCLEAR_500, "unclear_500", NONE, NONE, LOCAL,                                                                 \
      "cannot tell why: a redirect loop, a file or memory fault of nginx, or the application", "")                   \
    X(UNCLEAR_502, "unclear_502", NONE, NONE, LOCAL,                                                                 \
      "cannot tell why: refused, closed early, a broken or too large head, TLS, no name, or the application", "")    \
    X(UNCLEAR_503, "unclear_503", NONE, NONE, LOCAL,                                                                 \
      "cannot tell why: a limit of nginx.conf, `return 503`, or the application", "")                                \
    X(UNCLEAR_504, "unclear_504", NONE, NONE, LOCAL,                                                                 \
      "cannot tell why: no connection, no answer, or the application's own 504", "")                                 \
    X(UNCLEAR_5XX, "unclear_5xx", NONE, NONE, LOCAL,                                                                 \
      "cannot tell why: nginx itself, or the application", "")                                                       \
    X(UNCLEAR_CUT, "unclear_cut", CLIENT_ABORT, NONE, FINAL,                                                         \
      "the answer was not sent to its end; cannot tell whether the client left or the server stopped", "")           \
    X(UNCLEAR_SLOW, "unclear_slow", NONE, NONE, NOTE,                                                                \
      "slow; cannot tell where the time went", "")
/* clang-format on */

enum fault_kind {
    FAULT_NONE, /* nothing is wrong, or nothing that is looked for */
#define X(id, name, reason, origin, weight, what, remedy) FAULT_##id,
    FAULT_KINDS(X)
#undef X
        FAULT_KIND_COUNT
};

struct fault_info {
    const char *name, *remedy; /* remedy: "" where none is known */
    const char *own;           /* what happened; NULL: as weir's reason says it. See fault_what() */
    enum end_reason reason;    /* weir's own; END_NONE: it has none; END_OK: to weir it is no failure */
    enum end_origin origin;    /* ORIGIN_WEIR: nginx, in its place */
    enum fault_weight weight;
};

/* Of kinds other than FAULT_NONE; never NULL. */
const struct fault_info *fault_info(enum fault_kind kind);
/* What happened, a clause without capital and full stop. */
const char *fault_what(enum fault_kind kind);
/* "client", "nginx", "server", "config"; "-" if it is nobody's or not known. */
const char *fault_origin_name(enum fault_kind kind);
/* FAULT_NONE if no kind has that name. */
enum fault_kind fault_by_name(struct slice name);
static inline bool fault_is_unclear(enum fault_kind kind)
{
    return kind >= FAULT_UNCLEAR_400;
}

/* What a verdict rests on, and what a log would have to say for a better one: bits. */
/* X(identifier, what people write into log_format, or what else it is) */
#define FAULT_EVIDENCE(X)                         \
    X(STATUS, "$status")                          \
    X(REQUEST, "$request")                        \
    X(UPSTREAM, "$upstream_addr")                 \
    X(UPSTREAM_STATUS, "$upstream_status")        \
    X(CONNECT_TIME, "$upstream_connect_time")     \
    X(HEADER_TIME, "$upstream_header_time")       \
    X(RESPONSE_TIME, "$upstream_response_time")   \
    X(REQUEST_TIME, "$request_time")              \
    X(REQUEST_LENGTH, "$request_length")          \
    X(COMPLETION, "$request_completion")          \
    X(LIMIT_REQ, "$limit_req_status")             \
    X(LIMIT_CONN, "$limit_conn_status")           \
    X(USER, "$remote_user")                       \
    X(UPSTREAM_BYTES, "$upstream_bytes_received") \
    X(ERROR_LOG, "the error log")                 \
    X(ERROR_LOG_INFO, "the error log at level info")

enum fault_evidence {
#define X(id, text) FAULT_BY_##id,
    FAULT_EVIDENCE(X)
#undef X
        FAULT_EVIDENCE_COUNT
};
#define FAULT_BIT(id) (1u << FAULT_BY_##id)

const char *fault_evidence_text(enum fault_evidence evidence);
