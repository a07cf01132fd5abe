#include "control/core.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"

/* Bits of coredump_filter (core(5)): private anonymous memory and ELF headers; what the kernel presets besides is
 * shared anonymous memory and private huge pages. */
#define FILTER_LEAN 0x11u
#define FILTER_FULL 0x33u

static void raise_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_CORE, &limit) < 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_CORE, &limit);
    if (limit.rlim_max != RLIM_INFINITY)
        log_event(LOG_WARN, "core_limited", "bytes=%llu remedy=\"raise LimitCORE, or ulimit -Hc\"",
                  (unsigned long long)limit.rlim_max);
}

static void set_filter(unsigned filter)
{
    char text[16];
    int fd = open("/proc/self/coredump_filter", O_WRONLY | O_CLOEXEC);
    int len = snprintf(text, sizeof(text), "0x%x", filter);
    if (fd < 0 || write(fd, text, (size_t)len) != len)
        log_event(LOG_WARN, "core_filter_not_set", "errno=%d", errno);
    if (fd >= 0) close(fd);
}

enum core_target core_target_of(const char *pattern)
{
    if (pattern[0] == '|') return CORE_TO_PROGRAM;
    if (pattern[0] == '/') return CORE_TO_PATH;
    return pattern[0] ? CORE_TO_DIR : CORE_TO_NOTHING;
}

static void read_pattern(char *out, size_t size)
{
    out[0] = 0;
    FILE *f = fopen("/proc/sys/kernel/core_pattern", "re");
    if (!f) return;
    if (fgets(out, (int)size, f)) out[strcspn(out, "\n")] = 0;
    fclose(f);
}

static void say_where(const struct core_conf *conf)
{
    char pattern[256], path[PATH_MAX + 256], quoted[PATH_MAX + 320], cwd[PATH_MAX] = "";
    read_pattern(pattern, sizeof(pattern));
    const char *contents = conf->contents == CORE_FULL ? "full" : "lean";
    switch (core_target_of(pattern)) {
    case CORE_TO_DIR:
        if (!conf->dir && !getcwd(cwd, sizeof(cwd))) cwd[0] = 0;
        snprintf(path, sizeof(path), "%s/%s", conf->dir ? conf->dir : cwd, pattern);
        log_event(LOG_INFO, "core_enabled", "contents=%s path=%s", contents,
                  log_quote(path, quoted, sizeof(quoted)));
        return;
    case CORE_TO_PATH:
        log_event(LOG_INFO, "core_enabled", "contents=%s path=%s", contents,
                  log_quote(pattern, quoted, sizeof(quoted)));
        return;
    case CORE_TO_PROGRAM:
        log_event(
            LOG_WARN, "core_piped",
            "contents=%s program=%s remedy=\"fetch cores from that program (coredumpctl, apport), or set "
            "kernel.core_pattern to a path\"",
            contents, log_quote(pattern + 1, quoted, sizeof(quoted)));
        return;
    case CORE_TO_NOTHING:
        log_event(LOG_WARN, "core_pattern_empty", "remedy=\"sysctl kernel.core_pattern=core.%%p\"");
        return;
    }
}

void core_prepare(const struct core_conf *conf)
{
    if (!conf || !conf->enabled) return;
    raise_limit();
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0) log_event(LOG_WARN, "core_not_dumpable", "errno=%d", errno);
    set_filter(conf->contents == CORE_FULL ? FILTER_FULL : FILTER_LEAN);
    say_where(conf);
}
