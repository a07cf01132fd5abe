#include "logs/fault_message.h"

#include <errno.h>
#include <string.h>

/* A row holds if the message begins so, has that somewhere behind, with that number of the system's, while nginx was doing
 * what begins so. Texts are looked for where nginx writes its own words: at the beginning, since what a client sent may
 * stand behind. The first row that holds decides. */
struct message_row {
    const char *begins, *has, *doing; /* NULL: whatever */
    int code;                         /* 0: whatever */
    enum fault_kind kind;
};

#define AT_UPSTREAM_HANDSHAKE "SSL handshaking to upstream"

static const struct message_row rows[] = {
    /* of the system, whatever nginx was doing */
    { NULL, NULL, NULL, EMFILE, FAULT_NO_DESCRIPTORS },
    { NULL, NULL, NULL, ENFILE, FAULT_NO_DESCRIPTORS },
    { NULL, NULL, NULL, ENOSPC, FAULT_DISK_FULL },
    { NULL, NULL, NULL, EDQUOT, FAULT_DISK_FULL },
    { NULL, NULL, NULL, ENOMEM, FAULT_NO_MEMORY },

    /* a server could not be connected to */
    { "connect() ", NULL, NULL, ECONNREFUSED, FAULT_CONNECT_REFUSED },
    { "connect() ", NULL, NULL, ETIMEDOUT, FAULT_CONNECT_TIMEOUT },
    { "connect() ", NULL, NULL, 0, FAULT_CONNECT_FAILED },
    { "socket() failed", NULL, "connecting to upstream", 0, FAULT_CONNECT_FAILED },
    { "bind(", NULL, "connecting to upstream", 0, FAULT_CONNECT_FAILED },
    { "recv() failed", NULL, "connecting to upstream", 0, FAULT_CONNECT_FAILED },
    { "no live upstreams", NULL, NULL, 0, FAULT_NO_SERVER },
    { "no port in upstream", NULL, NULL, 0, FAULT_NAME_UNRESOLVED },
    { "no resolver defined to resolve", NULL, NULL, 0, FAULT_NAME_UNRESOLVED },
    { "invalid URL prefix in", NULL, NULL, 0, FAULT_NAME_UNRESOLVED },

    /* TLS with a server */
    { "upstream SSL certificate", NULL, NULL, 0, FAULT_SERVER_CERTIFICATE },
    { "SSL_do_handshake() failed", "certificate verify failed", AT_UPSTREAM_HANDSHAKE, 0,
      FAULT_SERVER_CERTIFICATE },
    { "SSL_do_handshake() failed", "wrong version number", AT_UPSTREAM_HANDSHAKE, 0, FAULT_SERVER_NOT_TLS },
    { "SSL_do_handshake() failed", "http request", AT_UPSTREAM_HANDSHAKE, 0, FAULT_SERVER_NOT_TLS },
    { "SSL_do_handshake() failed", "packet length too long", AT_UPSTREAM_HANDSHAKE, 0, FAULT_SERVER_NOT_TLS },
    { "upstream timed out", NULL, AT_UPSTREAM_HANDSHAKE, 0, FAULT_SERVER_TLS_TIMEOUT },
    { "epoll_wait() reported", NULL, AT_UPSTREAM_HANDSHAKE, 0, FAULT_CLIENT_GONE_WAITING },
    { NULL, NULL, AT_UPSTREAM_HANDSHAKE, 0, FAULT_SERVER_TLS_FAILED },

    /* a server that was connected to */
    { "upstream timed out", NULL, "connecting to upstream", 0, FAULT_CONNECT_TIMEOUT },
    { "upstream timed out", NULL, "sending request to upstream", 0, FAULT_SEND_TIMEOUT },
    { "upstream timed out", NULL, "reading response header from upstream", 0, FAULT_FIRST_BYTE_TIMEOUT },
    { "upstream timed out", NULL, NULL, 0, FAULT_RESPONSE_TIMEOUT },
    { "upstream prematurely closed connection", NULL, "reading response header from upstream", 0,
      FAULT_SERVER_CLOSED },
    { "upstream prematurely closed connection", NULL, "sending request to upstream", 0, FAULT_SERVER_CLOSED },
    { "upstream prematurely closed connection", NULL, NULL, 0, FAULT_RESPONSE_CUT },
    { "upstream sent too big header", NULL, NULL, 0, FAULT_RESPONSE_HEAD_TOO_LARGE },
    { "upstream sent too big early hints", NULL, NULL, 0, FAULT_RESPONSE_HEAD_TOO_LARGE },
    { "upstream sent invalid chunked", NULL, NULL, 0, FAULT_BAD_RESPONSE_BODY },
    { "upstream sent invalid trailer", NULL, NULL, 0, FAULT_BAD_RESPONSE_BODY },
    { "upstream sent data after", NULL, NULL, 0, FAULT_BAD_RESPONSE_BODY },
    { "upstream sent more data than", NULL, NULL, 0, FAULT_BAD_RESPONSE_BODY },
    { "upstream sent duplicate header line", "ignored", NULL, 0, FAULT_NONE },
    { "upstream sent", NULL, NULL, 0, FAULT_BAD_RESPONSE },
    { "upstream prematurely sent response", NULL, NULL, 0, FAULT_BAD_RESPONSE },
    { "upstream split a header line", NULL, NULL, 0, FAULT_BAD_RESPONSE },
    { "recv() failed", NULL, "resolving", 0, FAULT_NONE }, /* the request says it once more */
    { "FastCGI sent in stderr", NULL, NULL, 0, FAULT_NONE },
    { "recv() failed", NULL, "reading response header from upstream", 0, FAULT_SERVER_RESET },
    { "readv() failed", NULL, "reading upstream", 0, FAULT_RESPONSE_CUT },
    { "recv() failed", NULL, "reading upstream", 0, FAULT_RESPONSE_CUT },
    { NULL, "failed", "sending request to upstream", 0, FAULT_SEND_FAILED },
    { "SSL_read() failed", NULL, "reading response header from upstream", 0, FAULT_SERVER_RESET },
    { "SSL_read() failed", NULL, "reading upstream", 0, FAULT_RESPONSE_CUT },

    /* the client went away */
    { "epoll_wait() reported", NULL, "reading upstream", 0, FAULT_CLIENT_GONE_TAKING },
    { "epoll_wait() reported", NULL, "sending to client", 0, FAULT_CLIENT_GONE_TAKING },
    { "epoll_wait() reported", NULL, "sending response to client", 0, FAULT_CLIENT_GONE_TAKING },
    { "epoll_wait() reported", NULL, NULL, 0, FAULT_CLIENT_GONE_WAITING },
    { "kevent() reported that client", NULL, NULL, 0, FAULT_CLIENT_GONE_WAITING },
    { "client prematurely closed connection, so upstream", NULL, "reading upstream", 0,
      FAULT_CLIENT_GONE_TAKING },
    { "client prematurely closed connection, so upstream", NULL, NULL, 0, FAULT_CLIENT_GONE_WAITING },
    { "client prematurely closed connection", NULL, "reading upstream", 0, FAULT_CLIENT_GONE_TAKING },
    { "client prematurely closed connection", NULL, "sending ", 0, FAULT_CLIENT_GONE_TAKING },
    { "client prematurely closed connection", NULL, NULL, 0, FAULT_CLIENT_GONE_SENDING },
    { "client closed connection", NULL, "waiting for request", 0, FAULT_NONE },
    { "client timed out", NULL, "waiting for request", 0, FAULT_NONE },
    { "client timed out", NULL, "SSL handshaking", 0, FAULT_TLS_FAILED },
    { "client timed out", NULL, "reading client request headers", 0, FAULT_HEADER_TIMEOUT },
    { "client timed out", NULL, "reading client request line", 0, FAULT_HEADER_TIMEOUT },
    { "client timed out", NULL, "reading PROXY protocol", 0, FAULT_HEADER_TIMEOUT },
    { "client timed out", NULL, "sending ", 0, FAULT_WRITE_TIMEOUT },
    { "client timed out", NULL, "reading upstream", 0, FAULT_WRITE_TIMEOUT },
    { "client timed out", NULL, "keepalive", 0, FAULT_NONE },
    { "client timed out", NULL, NULL, 0, FAULT_BODY_TIMEOUT },
    { "recv() failed", NULL, "reading client request", 0, FAULT_CLIENT_GONE_SENDING },
    { "recv() failed", NULL, "waiting for request", 0, FAULT_NONE },
    { "recv() failed", NULL, "keepalive", 0, FAULT_NONE },
    { NULL, "failed", "sending to client", 0, FAULT_CLIENT_GONE_TAKING },
    { NULL, "failed", "sending response to client", 0, FAULT_CLIENT_GONE_TAKING },

    /* what the client sent */
    { "client intended to send too large", NULL, NULL, 0, FAULT_BODY_TOO_LARGE },
    { "client sent too long URI", NULL, NULL, 0, FAULT_TARGET_TOO_LONG },
    { "client sent too long header line", NULL, NULL, 0, FAULT_HEAD_TOO_LARGE },
    { "client sent too large request", NULL, NULL, 0, FAULT_HEAD_TOO_LARGE },
    { "client sent too large header", NULL, NULL, 0, FAULT_HEAD_TOO_LARGE },
    { "client sent too many header lines", NULL, NULL, 0, FAULT_HEAD_TOO_LARGE },
    { "client exceeded http2 max_field_size", NULL, NULL, 0, FAULT_HEAD_TOO_LARGE },
    { "client exceeded http2 max_header_size", NULL, NULL, 0, FAULT_HEAD_TOO_LARGE },
    { "client sent plain HTTP request to HTTPS port", NULL, NULL, 0, FAULT_PLAIN_ON_TLS },
    { "client SSL certificate", NULL, NULL, 0, FAULT_CLIENT_CERTIFICATE },
    { "client sent no required SSL certificate", NULL, NULL, 0, FAULT_CLIENT_CERTIFICATE },
    { "client sent", NULL, NULL, 0, FAULT_BAD_REQUEST },
    { "client attempted to request the server name", NULL, NULL, 0, FAULT_BAD_REQUEST },
    { "SSL_do_handshake() failed", "http request", NULL, 0, FAULT_PLAIN_ON_TLS },
    { NULL, NULL, "SSL handshaking", 0, FAULT_TLS_FAILED },

    /* rules and limits */
    { "access forbidden by rule", NULL, NULL, 0, FAULT_GATE_DENIED },
    { "no user/password was provided", NULL, NULL, 0, FAULT_AUTH_REQUIRED },
    { "user \"", NULL, NULL, 0, FAULT_AUTH_FAILED },
    { "limiting requests, dry run", NULL, NULL, 0, FAULT_NONE },
    { "limiting requests", NULL, NULL, 0, FAULT_RATE_LIMITED },
    { "delaying requests, dry run", NULL, NULL, 0, FAULT_NONE },
    { "delaying request", NULL, NULL, 0, FAULT_RATE_DELAYED },
    { "limiting connections, dry run", NULL, NULL, 0, FAULT_NONE },
    { "limiting connections", NULL, NULL, 0, FAULT_CLIENT_CONNECTIONS },
    { "could not allocate node", NULL, NULL, 0, FAULT_NO_MEMORY },
    { "ngx_slab_alloc() failed", NULL, NULL, 0, FAULT_NO_MEMORY },
    { "malloc(", NULL, NULL, 0, FAULT_NO_MEMORY },
    { "rewrite or internal redirection cycle", NULL, NULL, 0, FAULT_REDIRECT_LOOP },
    { "subrequests cycle", NULL, NULL, 0, FAULT_REDIRECT_LOOP },

    /* files */
    { "directory index of ", NULL, NULL, 0, FAULT_DIRECTORY_FORBIDDEN },
    { "open() \"", NULL, NULL, ENOENT, FAULT_FILE_NOT_FOUND },
    { "open() \"", NULL, NULL, ENOTDIR, FAULT_FILE_NOT_FOUND },
    { "\"", "is not found", NULL, 0, FAULT_FILE_NOT_FOUND },
    { "\"", "is not a directory", NULL, 0, FAULT_FILE_NOT_FOUND },
    { "\"", "is forbidden", NULL, EACCES, FAULT_PERMISSION_DENIED },
    { "upstream response is buffered", NULL, NULL, 0, FAULT_NONE },
    { "a client request body is buffered", NULL, NULL, 0, FAULT_NONE },
};

/* Rows for lines that are of no request, or of whatever is left. */
static const struct message_row late_rows[] = {
    { NULL, "could not be resolved (", NULL, 0, FAULT_NAME_UNRESOLVED },
    { NULL, NULL, NULL, EACCES, FAULT_PERMISSION_DENIED },
    { NULL, NULL, NULL, EPERM, FAULT_PERMISSION_DENIED },
    { NULL, "worker_connections are not enough", NULL, 0, FAULT_CONNECTION_LIMIT },
    { "worker process ", "exited on signal", NULL, 0, FAULT_WORKER_DIED },
};

static bool has(struct slice s, const char *text)
{
    return s.len && memmem(s.data, s.len, text, strlen(text));
}

static bool begins(struct slice s, const char *text)
{
    return slice_starts_with(s, slice_of(text));
}

static const struct message_row *find(const struct message_row *from, size_t count,
                                      const struct error_line *line)
{
    for (const struct message_row *r = from; r < from + count; r++) {
        if (r->code && r->code != line->code) continue;
        if (r->begins && !begins(line->message, r->begins)) continue;
        if (r->doing && !begins(line->action, r->doing)) continue;
        if (r->has && !has(line->message, r->has)) continue;
        return r;
    }
    return NULL;
}

#define FIND(table, line) find((table), sizeof(table) / sizeof(*(table)), line)

/* A handshake's record (RFC 8446 5.1), where a request line should be. */
static bool is_tls(struct slice request)
{
    return request.len > 2 && request.data[0] == 0x16 && request.data[1] == 0x03;
}

enum fault_kind fault_of_message(const struct error_line *line)
{
    const struct message_row *r = FIND(rows, line);
    if (!r) r = FIND(late_rows, line);
    bool is_of_system = r && r->code && !r->begins && r->code != EACCES && r->code != EPERM;
    if (line->level == ERROR_EMERG && !is_of_system) return FAULT_CONFIG_FAULT;
    if (r && r->kind == FAULT_BAD_REQUEST && is_tls(line->request)) return FAULT_TLS_ON_PLAIN;
    if (r) return r->kind;
    return line->level >= ERROR_ERROR ? FAULT_OTHER : FAULT_NONE;
}
