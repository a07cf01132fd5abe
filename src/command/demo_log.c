#include "command/demo_log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

#define LINE_MAX_BYTES 2048
/* Of the network for documents (RFC 5737), from its first host on. */
#define CLIENTS 250u

int demo_log_open(struct demo_log *log, struct err *err)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(to);
    int probe = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    log->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* A port that is free, for weir to listen at a moment later. */
    int result = 0;
    if (probe < 0 || log->fd < 0 || bind(probe, (const struct sockaddr *)&to, sizeof(to)) < 0 ||
        getsockname(probe, (struct sockaddr *)&to, &len) < 0)
        result = err_set(err, "the demo's log: no port for it: %s", strerror(errno));
    log->port = ntohs(to.sin_port);
    /* Not connected: while weir does not listen yet, what is refused would come back with the next line. */
    if (probe >= 0) close(probe);
    if (result < 0 && log->fd >= 0) close(log->fd);
    return result;
}

/* As nginx does it (log_format escape=default). */
static void add_escaped(struct text *t, struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if (c < 32 || c > 126 || c == '"' || c == '\\')
            text_printf(t, "\\x%02X", c);
        else
            text_add_char(t, (char)c);
    }
}

static void add_client(struct text *t, struct slice user)
{
    unsigned number = 0;
    for (size_t i = 0; i < user.len; i++) number = (number * 10 + ((unsigned)user.data[i] - '0')) % CLIENTS;
    if (user.len)
        text_printf(t, "192.0.2.%u", number + 1);
    else
        TEXT_LITERAL(t, "127.0.0.1");
}

void demo_log_write(struct demo_log *log, const struct demo_log_line *line)
{
    char data[LINE_MAX_BYTES], sent[32], logged[40];
    struct text t = text_over(data, sizeof(data));
    time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(sent, sizeof(sent), "%b %e %H:%M:%S", &tm);
    strftime(logged, sizeof(logged), "%d/%b/%Y:%H:%M:%S +0000", &tm);
    text_printf(&t, "<190>%s demo nginx: %.*s ", sent, SLICE_ARGS(line->server));
    add_client(&t, line->user);
    text_printf(&t, " - - [%s] \"", logged);
    add_escaped(&t, line->method);
    text_add_char(&t, ' ');
    add_escaped(&t, line->target);
    text_printf(&t, " HTTP/1.1\" %u %llu %llu.%03llu", line->status, (unsigned long long)line->bytes,
                (unsigned long long)(line->took_ms / 1000), (unsigned long long)(line->took_ms % 1000));
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(log->port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    ssize_t ignored = sendto(log->fd, data, t.len, MSG_NOSIGNAL, (const struct sockaddr *)&to, sizeof(to));
    (void)ignored;
}

void demo_log_close(struct demo_log *log)
{
    close(log->fd);
}
