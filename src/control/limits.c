#include "control/limits.h"

#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

uint64_t limits_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 1024;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0) getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

uint32_t limits_connections(uint64_t descriptors, uint32_t workers)
{
    /* Each worker: epoll, mailbox, a spare, and its share of the listeners. */
    uint64_t own = RESERVED_DESCRIPTORS + 8ull * workers;
    if (descriptors <= own + 2) return 1;
    uint64_t left = descriptors - own;
    return left > UINT32_MAX ? UINT32_MAX : (uint32_t)left;
}

uint32_t limits_udp_sessions(void)
{
    unsigned first = 1, last = 0;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (!f) return 0;
    bool is_read = fscanf(f, "%u %u", &first, &last) == 2 && first <= last;
    fclose(f);
    return is_read ? (last - first + 1) * 3 / 4 + 1 : 0;
}

uint32_t limits_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) < 0) return 1;
    int count = CPU_COUNT(&set);
    if (count > WORKERS_MAX) return WORKERS_MAX;
    return count > 0 ? (uint32_t)count : 1;
}

static uint64_t read_limit(const char *path)
{
    unsigned long long value = 0;
    FILE *f = fopen(path, "re");
    if (!f) return 0;
    if (fscanf(f, "%llu", &value) != 1) value = 0; /* "max" */
    fclose(f);
    return value;
}

/* Where a cgroup hierarchy is mounted: v2, or v1's memory controller (hybrid hosts have both). */
static bool find_mount(bool is_v2, char *out, size_t size)
{
    char line[4096];
    char point[1024];
    bool is_found = false;
    FILE *f = fopen("/proc/self/mountinfo", "re");
    if (!f) return false;
    while (!is_found && fgets(line, sizeof(line), f)) {
        const char *rest = strstr(line, " - ");
        if (!rest || sscanf(line, "%*s %*s %*s %*s %1023s", point) != 1) continue;
        if (is_v2 ? strncmp(rest, " - cgroup2 ", 11) == 0
                  : strncmp(rest, " - cgroup ", 10) == 0 && strstr(rest, "memory")) {
            snprintf(out, size, "%s", point);
            is_found = true;
        }
    }
    fclose(f);
    return is_found;
}

/* This process's path in a hierarchy: "0::/x" of v2, "N:memory:/x" of v1. */
static bool find_path(bool is_v2, char *out, size_t size)
{
    char line[2048];
    bool is_found = false;
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f) return false;
    while (!is_found && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = 0;
        char *path = is_v2 ? (strncmp(line, "0::", 3) == 0 ? line + 3 : NULL) : strstr(line, ":memory:");
        if (!path) continue;
        snprintf(out, size, "%s", is_v2 ? path : path + 8);
        is_found = true;
    }
    fclose(f);
    return is_found;
}

/* The tightest limit on the way from the process's own group to the root. */
static uint64_t cgroup_limit(bool is_v2)
{
    char mount[1024];
    char path[2048];
    char file[4096];
    uint64_t smallest = 0;
    if (!find_mount(is_v2, mount, sizeof(mount)) || !find_path(is_v2, path, sizeof(path))) return 0;
    for (;;) {
        snprintf(file, sizeof(file), "%s%s/%s", mount, path, is_v2 ? "memory.max" : "memory.limit_in_bytes");
        uint64_t limit = read_limit(file);
        if (limit && (!smallest || limit < smallest)) smallest = limit;
        char *slash = strrchr(path, '/');
        if (!slash) return smallest;
        *slash = 0;
    }
}

uint64_t limits_memory(void)
{
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    for (int v = 0; v < 2; v++) {
        uint64_t limit = cgroup_limit(v == 1);
        if (limit && limit < all) all = limit;
    }
    return all;
}
