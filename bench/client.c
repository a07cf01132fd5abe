#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void die(const char *format, ...)
{
    int saved = errno;
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    if (saved) fprintf(stderr, ": %s", strerror(saved));
    fputc('\n', stderr);
    exit(1);
}

struct sockaddr_in parse_address(const char *text)
{
    char host[INET_ADDRSTRLEN];
    const char *colon = strrchr(text, ':');
    struct sockaddr_in address = { .sin_family = AF_INET };
    errno = 0;
    if (!colon || (size_t)(colon - text) >= sizeof(host))
        die("\"%s\" is not an address like 127.0.0.1:8080", text);
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die("\"%s\" is not an IPv4 address", host);
    address.sin_port = htons((uint16_t)parse_count(colon + 1, "port", 1, 65535));
    return address;
}

uint64_t parse_count(const char *text, const char *what, uint64_t min, uint64_t max)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (errno || end == text || *end || *text == '-' || value < min || value > max) {
        errno = 0;
        die("%s \"%s\" is not a number from %ju to %ju", what, text, (uintmax_t)min, (uintmax_t)max);
    }
    return value;
}

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void latencies_note(struct latencies *l, uint64_t sent_ns)
{
    uint64_t us = (now_ns() - sent_ns) / 1000;
    l->buckets[us < LATENCY_BUCKETS ? us : LATENCY_BUCKETS - 1]++;
    l->count++;
}

uint32_t latencies_quantile(const struct latencies *l, double q)
{
    uint64_t rank = (uint64_t)(q * (double)l->count), seen = 0;
    for (uint32_t us = 0; us < LATENCY_BUCKETS; us++) {
        seen += l->buckets[us];
        if (seen > rank) return us;
    }
    return LATENCY_BUCKETS;
}

int connect_to(const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
        die("connect to port %d", ntohs(to->sin_port));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    return fd;
}

/* Bytes of the whole response, or 0 while its head is not complete in `head`. */
static size_t response_size(const char *head)
{
    const char *end = strstr(head, "\r\n\r\n");
    if (!end) return 0;
    errno = 0;
    if (strncmp(head, "HTTP/1.1 200", 12) != 0) die("not a 200: %.*s", (int)strcspn(head, "\r\n"), head);
    const char *length = strcasestr(head, "\r\nContent-Length:");
    if (!length || length > end) die("a response without Content-Length");
    return (size_t)(end + 4 - head) + strtoul(length + 17, NULL, 10);
}

void websocket_open(int fd)
{
    static const char question[] =
        "GET /ws HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    char in[4096];
    size_t have = 0;
    if (send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) != sizeof(question) - 1) die("send");
    do {
        ssize_t got = recv(fd, in + have, sizeof(in) - 1 - have, 0);
        if (got == 0) errno = 0;
        if (got <= 0) die("no WebSocket was opened");
        have += (size_t)got;
        in[have] = '\0';
    } while (!strstr(in, "\r\n\r\n") && have < sizeof(in) - 1);
    errno = 0;
    if (strncmp(in, "HTTP/1.1 101", 12) != 0) die("not a 101: %.*s", (int)strcspn(in, "\r\n"), in);
}

int http_ask(int fd, const char *request)
{
    char in[16384];
    size_t have = 0, need = 0, len = strlen(request);
    if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len) return -1;
    while (!need || have < need) {
        /* Once the head is known, what follows may overwrite it. */
        size_t at = need ? 0 : have;
        ssize_t got = recv(fd, in + at, sizeof(in) - 1 - at, 0);
        if (got <= 0) {
            if (got == 0) errno = 0;
            return -1;
        }
        have += (size_t)got;
        if (need) continue;
        in[have] = '\0';
        need = response_size(in);
        errno = 0;
        if (!need && have == sizeof(in) - 1) die("a response head over %zu bytes", sizeof(in) - 1);
    }
    return 0;
}
