#include "command/perf_self.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The process of this program that carries traffic: the one that was told to run. */
static bool is_running_weir(int32_t pid, const char *own)
{
    char path[64], exe[4096], arguments[4096] = "";
    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    ssize_t len = readlink(path, exe, sizeof(exe) - 1);
    if (pid == getpid() || len < 0) return false;
    exe[len] = 0;
    const char *slash = strrchr(exe, '/');
    if (strcmp(exe, own) != 0 && (!slash || strcmp(slash, "/weir") != 0)) return false;
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    FILE *f = fopen(path, "re");
    size_t read = f ? fread(arguments, 1, sizeof(arguments) - 1, f) : 0;
    if (f) fclose(f);
    const char *second = memchr(arguments, 0, read);
    return second && (strcmp(second + 1, "run") == 0 || strcmp(second + 1, "demo") == 0);
}

int perf_self_find(int32_t *out, struct err *err)
{
    char own[4096];
    ssize_t len = readlink("/proc/self/exe", own, sizeof(own) - 1);
    own[len > 0 ? len : 0] = 0;
    DIR *processes = opendir("/proc");
    const struct dirent *d;
    uint32_t count = 0;
    if (!processes) return err_set(err, "cannot read /proc: %s", strerror(errno));
    while ((d = readdir(processes))) {
        int32_t pid = (int32_t)strtol(d->d_name, NULL, 10);
        if (pid <= 0 || !is_running_weir(pid, own)) continue;
        *out = pid;
        count++;
    }
    closedir(processes);
    if (count == 1) return 0;
    return count ? err_set(err, "%u weirs run here; say which with --pid N", count)
                 : err_set(err, "no weir runs here that may be looked at");
}
