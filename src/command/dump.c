#include "command/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "crash/core_write.h"

const char dump_help[] =
    "Usage: weir dump --pid N [--output FILE]\n\n"
    "Writes a core file of a living process, which stands still meanwhile and then goes on; says for how "
    "long.\n"
    "What the process leaves out of core files (`core: {contents: lean}`) is left out here as well.\n\n"
    "  -p, --pid N         which process\n"
    "  -o, --output FILE   where to; \"core.N\" unless given; a file that is there already is not "
    "overwritten\n\n"
    "Exit codes: 0 written, 64 wrong usage, 71 the system refused something.\n";

static int fail(const char *text)
{
    fprintf(stderr, "weir dump: %s\n", text);
    return EX_OSERR;
}

static int dump(int32_t pid, const char *path)
{
    struct stopped s;
    struct err err = { "" };
    uint64_t bytes = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        err_set(&err, "cannot write %s: %s", path, strerror(errno));
        return fail(err.text);
    }
    int result = stopped_hold(&s, pid, &err);
    if (result == 0) {
        result = core_write(&s, fd, &bytes, &err);
        stopped_resume(&s);
        if (result == 0)
            printf("%s: process %d, %u threads, %.1f MiB; it stood still for %.1f ms\n", path, pid,
                   s.image.thread_count, (double)bytes / (1 << 20), (double)s.held_ns / 1e6);
        stopped_fini(&s);
    }
    if (close(fd) < 0 && result == 0) result = err_set(&err, "cannot write %s: %s", path, strerror(errno));
    if (result == 0) return EX_OK;
    unlink(path);
    return fail(err.text);
}

int dump_command(int argc, char **argv)
{
    static const struct option options[] = { { "pid", required_argument, NULL, 'p' },
                                             { "output", required_argument, NULL, 'o' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    const char *pid = NULL, *output = NULL;
    char preset[32];
    int option;
    while ((option = getopt_long(argc, argv, "p:o:h", options, NULL)) != -1) {
        switch (option) {
        case 'p': pid = optarg; break;
        case 'o': output = optarg; break;
        case 'h': fputs(dump_help, stdout); return EX_OK;
        default: fprintf(stderr, "Try: weir dump --help\n"); return EX_USAGE;
        }
    }
    int32_t number = pid && strlen(pid) < 10 && strspn(pid, "0123456789") == strlen(pid) ? atoi(pid) : 0;
    if (optind < argc || number <= 0) {
        if (optind < argc)
            fprintf(stderr, "weir dump: what is \"%s\"?\n", argv[optind]);
        else
            fprintf(stderr, "weir dump: give the number of a process with --pid N\n");
        return EX_USAGE;
    }
    snprintf(preset, sizeof(preset), "core.%d", number);
    return dump(number, output ? output : preset);
}
