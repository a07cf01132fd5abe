/* bench-log-scan lines|fields FILE: reads a log in the pieces that `weir logs stats` reads, and finds its lines, or takes its
 * records apart, and does nothing else: the limit of all that is kept of them. Prints how many there are. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "logs/intake.h"
#include "logs/log_format.h"
#include "logs/scan.h"

#define PIECE_BYTES (256u << 10)

static const char *newline(const char *p, const char *end)
{
    return scan_has_avx2() ? scan_newline_avx2(p, end) : scan_sse2(p, end, '\n');
}

static uint64_t lines_in(struct slice piece)
{
    uint64_t count = 0;
    const char *end = piece.data + piece.len;
    for (const char *p = piece.data; (p = newline(p, end)); p++) count++;
    return count;
}

static void on_entry(void *context, struct log_entry *e)
{
    (void)e;
    ++*(uint64_t *)context;
}

static void on_malformed(void *context, struct slice bytes)
{
    (void)context;
    (void)bytes;
}

int main(int argc, char **argv)
{
    static const struct intake_events events = { on_entry, on_malformed };
    static char memory[PIECE_BYTES + INTAKE_SLACK];
    static struct log_format format = { .is_auto = true };
    struct intake *intake = NULL;
    struct err err = { "" };
    uint64_t count = 0;
    ssize_t got = 0;
    bool takes_apart = argc == 3 && strcmp(argv[1], "fields") == 0;
    if (argc != 3 || (!takes_apart && strcmp(argv[1], "lines") != 0)) {
        fputs("usage: bench-log-scan lines|fields FILE\n", stderr);
        return 64;
    }
    int fd = open(argv[2], O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (got = read(fd, memory, PIECE_BYTES)) > 0) {
        struct slice piece = { memory, (size_t)got };
        if (!takes_apart) {
            count += lines_in(piece);
            continue;
        }
        if (!intake &&
            (log_format_guess(piece, &format, argv[2], &err) < 0 ||
             intake_new(&intake, format.is_json ? NULL : &format.lines, &events, &count, &err) < 0)) {
            fprintf(stderr, "bench-log-scan: %s\n", err.text);
            return 65;
        }
        intake_feed(intake, piece);
    }
    if (intake) intake_end(intake);
    intake_free(intake);
    printf("%llu\n", (unsigned long long)count);
    return fd < 0 || got < 0 ? 66 : 0;
}
