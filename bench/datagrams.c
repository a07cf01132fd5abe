/* bench/datagrams.c: the load of datagrams, and who answers it. Each of the load's sockets sends one, waits for the answer, and sends
 * the next; one that is not answered within LOST_MS is an error, and sent again.
 *
 *   bench-datagrams 127.0.0.1:8053 --sockets 64 --bytes 100 --seconds 3   prints one JSON object
 *   bench-datagrams --echo 127.0.0.1:8053                                 sends every datagram back */
#define _GNU_SOURCE
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

#define SOCKETS_MAX 1024
#define BYTES_MAX 1400
#define BATCH 64
#define LOST_MS 500

struct asker {
    int fd;
    uint64_t sent_ns, number; /* what waits for its answer */
};

static struct latencies latencies;
static uint64_t lost_count, size;
static struct asker askers[SOCKETS_MAX];
static uint64_t asker_count;

static void ask(struct asker *a)
{
    char datagram[BYTES_MAX] = { 0 };
    a->number++;
    a->sent_ns = now_ns();
    memcpy(datagram, &a->number, sizeof(a->number));
    if (send(a->fd, datagram, size, MSG_NOSIGNAL) < 0) lost_count++;
}

/* A late answer, to what was sent again since, is passed over. */
static void on_readable(struct asker *a)
{
    char in[BYTES_MAX];
    uint64_t number;
    ssize_t got = recv(a->fd, in, sizeof(in), MSG_DONTWAIT);
    if (got < 0 && errno != EAGAIN) lost_count++;
    if (got < (ssize_t)sizeof(number)) return;
    memcpy(&number, in, sizeof(number));
    if (number != a->number) return;
    latencies_note(&latencies, a->sent_ns);
    ask(a);
}

static void ask_again(uint64_t now)
{
    for (uint64_t i = 0; i < asker_count; i++) {
        if (now - askers[i].sent_ns < LOST_MS * UINT64_C(1000000)) continue;
        lost_count++;
        ask(&askers[i]);
    }
}

static void drive(int epoll_fd, uint64_t until_ns)
{
    struct epoll_event events[128];
    uint64_t now, looked_ns = now_ns();
    while ((now = now_ns()) < until_ns) {
        int count = epoll_wait(epoll_fd, events, 128, 50);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; i++) on_readable(events[i].data.ptr);
        if (now - looked_ns < LOST_MS * UINT64_C(100000)) continue;
        looked_ns = now;
        ask_again(now_ns());
    }
}

static int load(char **argv)
{
    struct sockaddr_in to = parse_address(argv[1]);
    asker_count = parse_count(argv[3], "sockets", 1, SOCKETS_MAX);
    size = parse_count(argv[5], "bytes", sizeof(uint64_t), BYTES_MAX);
    uint64_t seconds = parse_count(argv[7], "seconds", 1, 600);
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (uint64_t i = 0; i < asker_count; i++) {
        struct asker *a = &askers[i];
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = a };
        a->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (a->fd < 0 || connect(a->fd, (struct sockaddr *)&to, sizeof(to)) < 0)
            die("a socket to %s", argv[1]);
        if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, a->fd, &event) < 0) die("epoll_ctl");
    }
    uint64_t start_ns = now_ns();
    for (uint64_t i = 0; i < asker_count; i++) ask(&askers[i]);
    drive(epoll_fd, start_ns + seconds * 1000000000);
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    errno = 0;
    if (!latencies.count) die("no answer came");
    printf(
        "{\"requests\": %ju, \"seconds\": %.3f, \"lost\": %ju, \"latency_us\": {\"p50\": %u, \"p99\": %u}}\n",
        (uintmax_t)latencies.count, took_s, (uintmax_t)lost_count, latencies_quantile(&latencies, 0.5),
        latencies_quantile(&latencies, 0.99));
    return 0;
}

/* As few system calls as there can be: not it is to run out, but the proxy. */
static void echo(const char *at)
{
    static char room[BATCH][2048];
    static struct sockaddr_in peers[BATCH];
    static struct iovec vectors[BATCH];
    static struct mmsghdr messages[BATCH];
    struct sockaddr_in address = parse_address(at);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), bytes = 4 << 20;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) die("bind to %s", at);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            vectors[i] = (struct iovec){ room[i], sizeof(room[i]) };
            messages[i].msg_hdr = (struct msghdr){ .msg_name = &peers[i],
                                                   .msg_namelen = sizeof(peers[i]),
                                                   .msg_iov = &vectors[i],
                                                   .msg_iovlen = 1 };
        }
        int count = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        if (count < 0 && errno != EINTR && errno != ECONNREFUSED) die("recvmmsg");
        for (int i = 0; i < count; i++) vectors[i].iov_len = messages[i].msg_len;
        /* Who has gone is passed over. */
        for (int done = 0; done < count;) {
            int sent = sendmmsg(fd, messages + done, (unsigned)(count - done), 0);
            done += sent > 0 ? sent : 1;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--echo") == 0) echo(argv[2]);
    if (argc == 8 && strcmp(argv[2], "--sockets") == 0 && strcmp(argv[4], "--bytes") == 0 &&
        strcmp(argv[6], "--seconds") == 0)
        return load(argv);
    errno = 0;
    die("usage: bench-datagrams ADDRESS:PORT --sockets N --bytes N --seconds N, or --echo ADDRESS:PORT");
}
