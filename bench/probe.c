/* bench/probe.c: latency at a low, steady load. One keep-alive connection, one request at each instant of a
 * schedule fixed in advance (so many a second), each counted from
 *   - its instant, if the answer before it was late: waiting behind a slow answer is latency, not silence;
 *   - the moment it was sent, if the probe merely woke late: that is this program's own fault, shown apart.
 *
 *   bench-probe 127.0.0.1:8080 /100 --rate 2000 --seconds 3   prints one JSON object, microseconds */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Of sorted nanoseconds, in microseconds. */
static double quantile_us(const uint32_t *sorted, size_t count, double q)
{
    size_t at = (size_t)(q * (double)(count - 1) + 0.5);
    return (double)sorted[at] / 1000.0;
}

static void print_quantiles(const char *name, uint32_t *ns, size_t count)
{
    qsort(ns, count, sizeof(*ns), by_value);
    printf("\"%s\": {\"p50\": %.1f, \"p90\": %.1f, \"p99\": %.1f, \"max\": %.1f}", name,
           quantile_us(ns, count, 0.5), quantile_us(ns, count, 0.9), quantile_us(ns, count, 0.99),
           quantile_us(ns, count, 1));
}

static void sleep_until(uint64_t instant_ns)
{
    struct timespec at = { (time_t)(instant_ns / 1000000000), (long)(instant_ns % 1000000000) };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) continue;
}

static uint32_t clamp_ns(uint64_t ns)
{
    return ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

int main(int argc, char **argv)
{
    if (argc != 7 || strcmp(argv[3], "--rate") != 0 || strcmp(argv[5], "--seconds") != 0) {
        errno = 0;
        die("usage: bench-probe ADDRESS:PORT /PATH --rate N --seconds N");
    }
    struct sockaddr_in to = parse_address(argv[1]);
    uint64_t rate = parse_count(argv[4], "rate", 1, 100000),
             seconds = parse_count(argv[6], "seconds", 1, 600);
    size_t count = rate * seconds;
    uint32_t *latency = calloc(count, sizeof(*latency)), *oversleep = calloc(count, sizeof(*oversleep));
    char request[512];
    int len = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", argv[2]);
    errno = 0;
    if (!latency || !oversleep || len >= (int)sizeof(request)) die("too many requests, or too long a path");

    int fd = connect_to(&to);
    if (http_ask(fd, request) < 0) die("the first request got no answer");
    prctl(PR_SET_TIMERSLACK, 1UL);
    uint64_t start_ns = now_ns() + 10000000;
    for (size_t i = 0; i < count; i++) {
        uint64_t instant_ns = start_ns + i * 1000000000 / rate, sent_ns = now_ns(), from_ns = instant_ns;
        if (sent_ns < instant_ns) {
            sleep_until(instant_ns);
            from_ns = sent_ns = now_ns();
            oversleep[i] = clamp_ns(sent_ns - instant_ns);
        }
        if (http_ask(fd, request) < 0) die("request %zu of %zu got no answer", i + 1, count);
        latency[i] = clamp_ns(now_ns() - from_ns);
        if (sent_ns > start_ns + (2 * seconds + 5) * 1000000000)
            die("the answers come too slowly for this rate");
    }
    printf("{\"requests\": %zu, \"rate\": %ju, ", count, (uintmax_t)rate);
    print_quantiles("latency_us", latency, count);
    printf(", ");
    print_quantiles("oversleep_us", oversleep, count);
    printf("}\n");
    close(fd);
    free(latency);
    free(oversleep);
    return 0;
}
