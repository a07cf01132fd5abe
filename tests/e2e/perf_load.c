/* A load that knows its own truth: three parts of CPU time, some 70, 20 and 10 of a hundred, each below a caller of its own. Equal
 * work does not take equal time (where code and stack happen to lie makes some of it slower), so each part is timed, and how
 * many nanoseconds of CPU each took is said at the end. In "libraries" mode the work is the C library's and libcrypto's. Ends
 * after the seconds given, or when its standard input does. */
#include <openssl/sha.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEPT __attribute__((noinline, noclone))

static volatile uint64_t sink;
static char from[65536], to[65536];

/* Not the same function three times: the compiler would fold them. */
#define WORK(name, constant)                                                \
    KEPT static void name(void)                                             \
    {                                                                       \
        uint64_t x = sink;                                                  \
        for (unsigned i = 0; i < 4000; i++) x = x * UINT64_C(constant) + i; \
        sink = x;                                                           \
    }
WORK(work_seventy, 6364136223846793005)
WORK(work_twenty, 2862933555777941757)
WORK(work_ten, 3202034522624059733)

KEPT static void call_seventy(void)
{
    for (unsigned i = 0; i < 7; i++) work_seventy();
    sink++;
}

KEPT static void call_twenty(void)
{
    for (unsigned i = 0; i < 2; i++) work_twenty();
    sink++;
}

KEPT static void call_ten(void)
{
    work_ten();
    sink++;
}

struct part {
    const char *name;
    void (*call)(void);
    uint64_t cpu_ns;
};

static uint64_t cpu_ns(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000U + (uint64_t)used.tv_nsec;
}

KEPT static void call_copy(void)
{
    memcpy(to, from, sizeof(to));
    sink += (uint64_t)to[sink % sizeof(to)];
}

KEPT static void call_search(void)
{
    sink += memchr(from, 1, sizeof(from)) != NULL;
    sink++;
}

KEPT static void call_hash(void)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)from, 4096, digest);
    sink += digest[0];
}

/* How often in a row, one to eight by chance: a round that always lasted as long would keep step with whoever samples it, and its
 * parts would be seen too often or too seldom. */
static unsigned times(void)
{
    static uint32_t state = 2463534242;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return 1 + state % 8;
}

static int is_over(const struct timespec *until)
{
    struct timespec now;
    struct pollfd in = { .fd = 0, .events = POLLIN };
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec >= until->tv_sec || poll(&in, 1, 0) > 0;
}

int main(int argc, char **argv)
{
    struct part parts[] = { { "seventy", call_seventy, 0 },
                            { "twenty", call_twenty, 0 },
                            { "ten", call_ten, 0 } };
    struct timespec until;
    int is_libraries = argc > 2 && strcmp(argv[2], "libraries") == 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += argc > 1 ? atoi(argv[1]) : 1;
    puts("ready");
    fflush(stdout);
    while (!is_over(&until)) {
        for (unsigned i = 0; i < 200 && is_libraries; i++) {
            call_copy();
            call_search();
            call_hash();
        }
        for (unsigned i = 0; i < 45 && !is_libraries; i++) {
            for (struct part *part = parts; part < parts + 3; part++) {
                uint64_t begin = cpu_ns();
                for (unsigned n = times(); n; n--) part->call();
                part->cpu_ns += cpu_ns() - begin;
            }
        }
    }
    for (struct part *part = parts; part < parts + 3; part++)
        printf("%s %llu\n", part->name, (unsigned long long)part->cpu_ns);
    return 0;
}
