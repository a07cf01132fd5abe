/* bench/pingpong.c: the small TCP load. Each connection sends a message, waits until as many bytes came back,
 * and sends the next; against bench-origin --echo. A message costs it less than a request costs wrk, so that
 * one core can drive a proxy to its limit.
 *
 *   bench-pingpong 127.0.0.1:8080 --connections 64 --bytes 100 --seconds 3               prints one JSON object
 *   bench-pingpong 127.0.0.1:8080 --connections 64 --bytes 100 --seconds 3 --websocket   over WebSockets (RFC 6455) */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

#define CONNECTIONS_MAX 1024
#define BYTES_MAX 16384
#define FRAME_MAX 125 /* of a WebSocket, the length of which is in one byte */
#define FRAME_HEAD 6

struct pinger {
    int fd;
    uint32_t waiting_for; /* bytes of the echo still to come */
    uint64_t sent_ns;
};

static struct latencies latencies;
static uint64_t message_bytes;
static char message[BYTES_MAX];

/* A whole binary frame of a client (RFC 6455 5.2), whose mask is 0, and which is as long as it is sent back. */
static void make_frame(void)
{
    message[0] = (char)0x82;
    message[1] = (char)(0x80 | message_bytes);
    message_bytes += FRAME_HEAD;
}

static void ping(struct pinger *p)
{
    p->waiting_for = (uint32_t)message_bytes;
    p->sent_ns = now_ns();
    /* The socket is empty whenever this is called, so a short send is a broken one. */
    if (send(p->fd, message, message_bytes, MSG_NOSIGNAL) != (ssize_t)message_bytes) die("send");
}

static void on_readable(struct pinger *p)
{
    char in[BYTES_MAX];
    ssize_t got = recv(p->fd, in, sizeof(in), 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got == 0) errno = 0;
    if (got <= 0) die("a connection ended");
    errno = 0;
    if ((uint64_t)got > p->waiting_for) die("more bytes came back than were sent");
    p->waiting_for -= (uint32_t)got;
    if (p->waiting_for) return;
    latencies_note(&latencies, p->sent_ns);
    ping(p);
}

static void drive(int epoll_fd, uint64_t until_ns)
{
    struct epoll_event events[128];
    uint64_t now;
    while ((now = now_ns()) < until_ns) {
        int count = epoll_wait(epoll_fd, events, 128, (int)((until_ns - now) / 1000000) + 1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) on_readable(events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    bool is_websocket = argc == 9 && strcmp(argv[8], "--websocket") == 0;
    if ((argc != 8 && !is_websocket) || strcmp(argv[2], "--connections") != 0 ||
        strcmp(argv[4], "--bytes") != 0 || strcmp(argv[6], "--seconds") != 0) {
        errno = 0;
        die("usage: bench-pingpong ADDRESS:PORT --connections N --bytes N --seconds N [--websocket]");
    }
    struct sockaddr_in to = parse_address(argv[1]);
    uint64_t count = parse_count(argv[3], "connections", 1, CONNECTIONS_MAX);
    message_bytes = parse_count(argv[5], "bytes", 1, is_websocket ? FRAME_MAX : BYTES_MAX);
    if (is_websocket) make_frame();
    uint64_t seconds = parse_count(argv[7], "seconds", 1, 600);

    static struct pinger pingers[CONNECTIONS_MAX];
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (uint64_t i = 0; i < count; i++) {
        pingers[i].fd = connect_to(&to);
        if (is_websocket) websocket_open(pingers[i].fd);
        fcntl(pingers[i].fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &pingers[i] };
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pingers[i].fd, &event) < 0) die("epoll_ctl");
    }
    uint64_t start_ns = now_ns();
    for (uint64_t i = 0; i < count; i++) ping(&pingers[i]);
    drive(epoll_fd, start_ns + seconds * 1000000000);
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    errno = 0;
    if (!latencies.count) die("no message came back");
    printf("{\"requests\": %ju, \"seconds\": %.3f, \"latency_us\": {\"p50\": %u, \"p99\": %u}}\n",
           (uintmax_t)latencies.count, took_s, latencies_quantile(&latencies, 0.5),
           latencies_quantile(&latencies, 0.99));
    return 0;
}
