#include "command/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "crash/core_write.h"

struct dump_options {
    uint32_t pid; /* 0: not given */
    const char *output;
};

static const struct option_row options[] = {
    { OPTION_U32, 'p', .name = "pid", .argument = "N", .offset = offsetof(struct dump_options, pid), .min = 1,
      .max = INT32_MAX, .help = "which process" },
    { OPTION_TEXT, 'o', .name = "output", .argument = "FILE", .offset = offsetof(struct dump_options, output),
      .help = "where to; \"core.N\" unless given; a file that is there already is not overwritten" },
    { 0 },
};

const struct syntax dump_syntax = {
    .command = "dump",
    .usage =
        "dump --pid N [--output FILE]\n\n"
        "Writes a core file of a living process, which stands still meanwhile and then goes on; says for how "
        "long.\n"
        "What the process leaves out of core files (`core: {contents: lean}`) is left out here as well.\n",
    .options = options,
    .notes = "Exit codes: 0 written, 64 wrong usage, 71 the system refused something.\n",
};

static int fail_dump(const char *text)
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
        return fail_dump(err.text);
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
    return fail_dump(err.text);
}

int dump_command(int argc, char **argv)
{
    struct dump_options o = { 0 };
    char preset[32];
    int code = options_parse(&dump_syntax, argc, argv, &o, NULL);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    if (!o.pid) return options_fault(&dump_syntax, "give the number of a process with --pid N");
    snprintf(preset, sizeof(preset), "core.%u", o.pid);
    return dump((int32_t)o.pid, o.output ? o.output : preset);
}
