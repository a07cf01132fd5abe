/* bench/idle.c: opens many keep-alive connections, makes one request on each, and holds them: what an idle
 * client costs the proxy. Prints {"open": N} when all are idle; when a line (or the end) comes on standard
 * input it counts how many are still open, prints that, and ends.
 *
 *   bench-idle 127.0.0.1:8080 /100 --connections 9000 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "client.h"

#define HOLD_MAX_S 120

static void raise_descriptor_limit(uint64_t count)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    errno = 0;
    if (limit.rlim_max < count + 16)
        die("%ju descriptors are not enough for %ju connections", (uintmax_t)limit.rlim_max,
            (uintmax_t)count);
}

int main(int argc, char **argv)
{
    if (argc != 5 || strcmp(argv[3], "--connections") != 0) {
        errno = 0;
        die("usage: bench-idle ADDRESS:PORT /PATH --connections N");
    }
    struct sockaddr_in to = parse_address(argv[1]);
    uint64_t count = parse_count(argv[4], "connections", 1, 1000000);
    raise_descriptor_limit(count);
    struct pollfd *held = calloc(count, sizeof(*held));
    char request[512];
    int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", argv[2]);
    errno = 0;
    if (!held || len >= (int)sizeof(request)) die("too many connections, or too long a path");

    for (uint64_t i = 0; i < count; i++) {
        held[i] = (struct pollfd){ .fd = connect_to(&to), .events = POLLIN };
        if (http_ask(held[i].fd, request) < 0) die("request %ju got no answer", (uintmax_t)i + 1);
    }
    printf("{\"open\": %ju}\n", (uintmax_t)count);
    fflush(stdout);

    poll(&(struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN }, 1, HOLD_MAX_S * 1000);
    /* Nothing is due on an idle connection: one that has something to read was closed. */
    int ended = poll(held, count, 0);
    printf("{\"open\": %ju}\n", (uintmax_t)count - (uintmax_t)(ended > 0 ? ended : 0));
    return 0;
}
