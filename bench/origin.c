/* bench/origin.c: the server behind the proxies of `make bench`, one thread and as few system calls as HTTP
 * allows, so that on a shared core the proxy and not the origin is what runs out.
 *
 *   bench-origin 127.0.0.1:8080               GET /N (or /any/path/N) is answered with N bytes
 *   bench-origin --echo 127.0.0.1:8080        every byte is sent back
 *   bench-origin --websocket 127.0.0.1:8080   likewise, once a WebSocket is open */
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "client.h"

#define BODY_CHUNK (UINT64_C(1) << 20)
#define BODY_MAX (UINT64_C(1) << 30)
#define EVENTS_MAX 512

struct peer {
    int fd;
    bool is_readable; /* the last recv filled the buffer, or an event came since */
    bool has_ended;   /* the event said that the other side sends no more: read until 0 */
    bool is_closing;  /* close when the response is out */
    bool is_open;     /* its WebSocket */
    uint32_t head_len, head_sent;
    uint64_t body_left;
    uint32_t in_len, in_sent; /* in_sent: of what is sent back */
    char head[160];
    char in[8192];
};

enum turn { TURN_AGAIN, TURN_DONE, TURN_END };

static int epoll_fd;
static enum mode { MODE_HTTP, MODE_ECHO, MODE_WEBSOCKET } mode;
static char body[BODY_CHUNK];

static void peer_free(struct peer *p)
{
    close(p->fd);
    free(p);
}

/* Sends what is pending; AGAIN if the socket is full. */
static enum turn flush(struct peer *p)
{
    while (p->head_sent < p->head_len || p->body_left) {
        struct iovec out[2] = {
            { p->head + p->head_sent, p->head_len - p->head_sent },
            { body, p->body_left < BODY_CHUNK ? p->body_left : BODY_CHUNK },
        };
        struct msghdr message = { .msg_iov = out, .msg_iovlen = 2 };
        ssize_t sent = sendmsg(p->fd, &message, MSG_NOSIGNAL);
        if (sent < 0) return errno == EAGAIN ? TURN_AGAIN : TURN_END;
        uint64_t of_head = (uint64_t)sent < out[0].iov_len ? (uint64_t)sent : out[0].iov_len;
        p->head_sent += (uint32_t)of_head;
        p->body_left -= (uint64_t)sent - of_head;
    }
    return p->is_closing ? TURN_END : TURN_DONE;
}

/* Appends to `in`. A short read says that the socket is empty; asking again would be for nothing. */
static enum turn fill(struct peer *p)
{
    if (!p->is_readable) return TURN_AGAIN;
    size_t room = sizeof(p->in) - p->in_len;
    ssize_t got = recv(p->fd, p->in + p->in_len, room, 0);
    if (got < 0 && errno == EAGAIN) p->is_readable = false;
    if (got <= 0) return got < 0 && errno == EAGAIN ? TURN_AGAIN : TURN_END;
    p->in_len += (uint32_t)got;
    p->is_readable = (size_t)got == room || p->has_ended;
    return TURN_DONE;
}

/* The decimal after the target's last slash, or -1. */
static int64_t wanted_bytes(const char *head, const char *end)
{
    const char *target = head + 4, *space = memchr(target, ' ', (size_t)(end - target));
    if (!space) return -1;
    const char *slash = memrchr(target, '/', (size_t)(space - target));
    int64_t bytes = 0;
    if (!slash || slash + 1 == space) return -1;
    for (const char *at = slash + 1; at < space; at++) {
        if (*at < '0' || *at > '9') return -1;
        bytes = bytes * 10 + (*at - '0');
        if (bytes > (int64_t)BODY_MAX) return -1;
    }
    return bytes;
}

static bool has_close(const char *head, const char *end)
{
    for (const char *line = head; (line = memmem(line, (size_t)(end - line), "\r\n", 2));) {
        line += 2;
        if (strncasecmp(line, "connection: close", 17) == 0) return true;
    }
    return false;
}

/* Makes the answer to the request that ends at `end`. */
static void answer(struct peer *p, const char *end)
{
    int64_t bytes = memcmp(p->in, "GET ", 4) == 0 ? wanted_bytes(p->in, end) : -1;
    p->is_closing = bytes < 0 || has_close(p->in, end);
    p->body_left = bytes < 0 ? 0 : (uint64_t)bytes;
    p->head_sent = 0;
    p->head_len = (uint32_t)snprintf(p->head, sizeof(p->head), "HTTP/1.1 %s\r\nContent-Length: %ju\r\n%s\r\n",
                                     bytes < 0 ? "400 Bad Request" : "200 OK", (uintmax_t)p->body_left,
                                     p->is_closing ? "Connection: close\r\n" : "");
}

static enum turn serve_http(struct peer *p)
{
    for (;;) {
        enum turn turn = flush(p);
        if (turn != TURN_DONE) return turn;
        const char *end = memmem(p->in, p->in_len, "\r\n\r\n", 4);
        if (end) {
            answer(p, end);
            p->in_len -= (uint32_t)(end + 4 - p->in);
            if (p->in_len) memmove(p->in, end + 4, p->in_len);
            continue;
        }
        if (p->in_len == sizeof(p->in)) return TURN_END;
        turn = fill(p);
        if (turn != TURN_DONE) return turn;
    }
}

static enum turn serve_echo(struct peer *p)
{
    for (;;) {
        while (p->in_sent < p->in_len) {
            ssize_t sent = send(p->fd, p->in + p->in_sent, p->in_len - p->in_sent, MSG_NOSIGNAL);
            if (sent < 0) return errno == EAGAIN ? TURN_AGAIN : TURN_END;
            p->in_sent += (uint32_t)sent;
        }
        p->in_len = p->in_sent = 0;
        enum turn turn = fill(p);
        if (turn != TURN_DONE) return turn;
    }
}

/* Whoever asks has the key of RFC 6455 1.3, to which this is the answer. Frames go back as they came, masks and all: nobody between
 * looks into them. */
static enum turn serve_websocket(struct peer *p)
{
    while (!p->is_open) {
        const char *end = memmem(p->in, p->in_len, "\r\n\r\n", 4);
        if (!end) {
            enum turn turn = p->in_len == sizeof(p->in) ? TURN_END : fill(p);
            if (turn != TURN_DONE) return turn;
            continue;
        }
        p->is_open = true;
        p->in_sent = (uint32_t)(end + 4 - p->in);
        p->head_len = (uint32_t)snprintf(
            p->head, sizeof(p->head),
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
    }
    enum turn turn = flush(p);
    return turn == TURN_DONE ? serve_echo(p) : turn;
}

static void accept_all(int listen_fd)
{
    int fd;
    while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct peer *p = calloc(1, sizeof(*p));
        if (!p) die("no memory for a connection");
        p->fd = fd;
        struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = p };
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
    }
}

static int listen_at(const char *text)
{
    struct sockaddr_in at = parse_address(text);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)); /* accepted sockets inherit it */
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(fd, 4096) < 0) die("listen at %s", text);
    return fd;
}

static void on_event(const struct epoll_event *event)
{
    struct peer *p = event->data.ptr;
    if (event->events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) p->is_readable = true;
    if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) p->has_ended = true;
    static enum turn (*const serve[])(struct peer *) = { serve_http, serve_echo, serve_websocket };
    enum turn turn = serve[mode](p);
    if (turn == TURN_END) peer_free(p);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--echo") == 0) mode = MODE_ECHO;
    if (argc == 3 && strcmp(argv[1], "--websocket") == 0) mode = MODE_WEBSOCKET;
    if (argc != (mode == MODE_HTTP ? 2 : 3)) {
        errno = 0;
        die("usage: bench-origin [--echo | --websocket] ADDRESS:PORT");
    }
    memset(body, 'x', sizeof(body));
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listen_fd = listen_at(argv[argc - 1]);
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event) < 0) die("epoll");
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(epoll_fd, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr)
                on_event(&events[i]);
            else
                accept_all(listen_fd);
        }
    }
}
