#include <stdio.h>
#include <string.h>

#include "host/host_rule.h"

#define PATTERN "/proc/sys/kernel/core_pattern"
#define PTRACE_SCOPE "/proc/sys/kernel/yama/ptrace_scope"
#define USE_FILES \
    "mkdir -p /var/lib/weir/core && sysctl -w kernel.core_pattern=/var/lib/weir/core/core.%%e.%%p.%%t"

static void say_program(struct host_exam *e, const char *pattern)
{
    if (strstr(pattern, "systemd-coredump")) {
        exam_say(e, HOST_OK, "systemd-coredump takes them: coredumpctl shows them");
        return;
    }
    if (strstr(pattern, "apport")) {
        exam_say(e, HOST_WARN, "apport takes them, and throws away those of programs that no package has");
        exam_mend(e, USE_FILES);
        return;
    }
    exam_say(e, HOST_NOTE, "a program takes them: %s", pattern);
}

static void check_pattern(struct host_exam *e)
{
    char pattern[256];
    if (!exam_text(e, PATTERN, pattern, sizeof(pattern))) return;
    if (*pattern == '|') {
        say_program(e, pattern);
        return;
    }
    if (*pattern == '/') {
        exam_say(e, HOST_OK, "they are written to %s", pattern);
        return;
    }
    if (*pattern)
        exam_say(e, HOST_WARN, "\"%s\" is no absolute path: they go where weir runs, where it may not write",
                 pattern);
    else
        exam_say(e, HOST_WARN, "none is written: kernel.core_pattern is empty");
    exam_mend(e, USE_FILES);
}

static void check_core_limit(struct host_exam *e)
{
    uint64_t soft, hard;
    char pattern[256] = "";
    if (!exam_limit(e, "Max core file size", &soft, &hard)) return;
    bool is_piped = host_read(e->facts->root, PATTERN, pattern, sizeof(pattern)) >= 0 && *pattern == '|';
    if (hard == 0) {
        exam_say(e, HOST_WARN, "no core can be written here (the hard limit is 0)%s",
                 is_piped ? ", though a program would take it" : "");
        exam_mend(e, "prlimit --pid $$ --core=unlimited");
        return;
    }
    if (soft == 0 && !is_piped) {
        exam_say(e, HOST_NOTE, "programs started here leave no core unless they raise the limit themselves");
        exam_mend(e, "ulimit -c unlimited");
        return;
    }
    exam_say(e, HOST_OK,
             soft == UINT64_MAX ? "no limit of size"
             : is_piped         ? "a pipe knows no limit of size"
                                : "limited");
}

static void check_perf_events(struct host_exam *e)
{
    static const char path[] = "/proc/sys/kernel/perf_event_paranoid";
    char text[32];
    int level;
    if (!exam_text(e, path, text, sizeof(text))) return;
    if (sscanf(text, "%d", &level) != 1) {
        exam_say(e, HOST_NOTE, "not known: %s holds no number", path);
        return;
    }
    exam_say(e,
             level > 2   ? HOST_WARN
             : level > 1 ? HOST_NOTE
                         : HOST_OK,
             "level %d: without privileges, %s", level,
             level > 2   ? "nothing can be sampled; weir falls back on timers"
             : level > 1 ? "own processes can be sampled, outside of the kernel"
                         : "own processes can be sampled, the kernel's part included");
    if (level > 1) exam_mend(e, "sysctl -w kernel.perf_event_paranoid=1");
}

static void check_kernel_names(struct host_exam *e)
{
    uint64_t level;
    if (!exam_number(e, "/proc/sys/kernel/kptr_restrict", &level)) return;
    exam_say(e, level ? HOST_NOTE : HOST_OK, "names of kernel functions are %s",
             level == 0   ? "to be had"
             : level == 1 ? "for privileged readers only"
                          : "for nobody");
    if (level) exam_mend(e, "sysctl -w kernel.kptr_restrict=%d", level > 1 ? 1 : 0);
}

static void check_ptrace(struct host_exam *e)
{
    uint64_t level;
    static const char *const meanings[] = { "processes of one's own can be looked into",
                                            "only descendants, or with CAP_SYS_PTRACE",
                                            "only with CAP_SYS_PTRACE", "nobody, until the host restarts" };
    if (!host_exists(e->facts->root, PTRACE_SCOPE) &&
        host_exists(e->facts->root, "/proc/sys/kernel/osrelease")) {
        exam_say(e, HOST_OK, "the kernel has no Yama: %s", meanings[0]);
        return;
    }
    if (!exam_number(e, PTRACE_SCOPE, &level)) return;
    exam_say(e, level > 2 ? HOST_WARN : level ? HOST_NOTE : HOST_OK, "%s", meanings[level < 3 ? level : 3]);
    if (level)
        exam_mend(e, level > 2 ? "grep -r ptrace_scope /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d"
                               : "sysctl -w kernel.yama.ptrace_scope=0");
}

static const struct host_rule rules[] = {
    { "core_pattern", "A core shows what weir did when it died: `weir postmortem` reads it, if there is one.",
      check_pattern },
    { "core_limit",
      "A limit of 0 keeps the kernel from writing a core. Under systemd the unit's LimitCORE= counts.",
      check_core_limit },
    { "perf_events",
      "`weir perf` and /debug/pprof/profile sample with perf events, which lose nothing while asleep.",
      check_perf_events },
    { "kernel_names", "Without them a profile says that time went to the kernel, not where.",
      check_kernel_names },
    { "ptrace", "`weir perf --pid`, `weir dump` and gdb look into other processes.", check_ptrace },
    { 0 },
};

const struct host_rule_group host_rule_tracing = { "crashes and profiles", rules };
