/* Any bytes in any of the files that `weir doctor` reads: every check says something, in printable ASCII,
 * within the report, and no command has anything in it that a shell would take for more than what weir
 * wrote. The input is the files' contents one after another, a zero between them. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host_check.h"

static const char *const paths[] = {
    "/proc/self/limits",
    "/proc/self/status",
    "/proc/self/cgroup",
    "/proc/self/mountinfo",
    "/proc/sys/fs/nr_open",
    "/proc/sys/fs/file-nr",
    "/proc/sys/net/core/somaxconn",
    "/proc/net/netstat",
    "/proc/net/sockstat",
    "/proc/net/stat/nf_conntrack",
    "/proc/sys/net/netfilter/nf_conntrack_count",
    "/proc/sys/net/netfilter/nf_conntrack_max",
    "/proc/sys/net/ipv4/ip_local_port_range",
    "/proc/sys/net/ipv4/ip_local_reserved_ports",
    "/proc/sys/net/ipv4/tcp_mem",
    "/proc/sys/net/ipv4/tcp_rmem",
    "/proc/meminfo",
    "/proc/loadavg",
    "/proc/pressure/cpu",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/osrelease",
    "/sys/devices/system/cpu/online",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource",
    "/sys/fs/cgroup/cpu.max",
    "/sys/fs/cgroup/cpu.stat",
    "/sys/fs/cgroup/memory.max",
    "/sys/class/net/eth0/operstate",
    "/sys/class/net/eth0/statistics/rx_packets",
    "/sys/class/net/eth0/statistics/rx_errors",
    "/etc/systemd/system/weir.service",
};
#define PATHS (sizeof(paths) / sizeof(*paths))

static char root[] = "/dev/shm/weir-host-XXXXXX";

static void path_of(size_t i, char *out, size_t size)
{
    snprintf(out, size, "%s%s", root, paths[i]);
}

static void remove_root(void)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", root);
    if (system(command) != 0) fprintf(stderr, "%s stays\n", root);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[256];
    (void)argc, (void)argv;
    if (!mkdtemp(root)) abort();
    atexit(remove_root);
    for (size_t i = 0; i < PATHS; i++) {
        path_of(i, path, sizeof(path));
        for (char *slash = path + sizeof(root); (slash = strchr(slash, '/')); slash++) {
            *slash = 0;
            mkdir(path, 0700);
            *slash = '/';
        }
    }
    return 0;
}

static void write_file(size_t i, const uint8_t *data, size_t len)
{
    char path[256];
    path_of(i, path, sizeof(path));
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, data, len) != (ssize_t)len) abort();
    close(fd);
}

static void check_text(const char *text, size_t size)
{
    if (!memchr(text, 0, size)) abort();
    for (; *text; text++)
        if (*text < ' ' || *text > '~') abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct host_report report;
    const struct host_plan plan = { .workers = 2,
                                    .connections = 100000,
                                    .pool = "web",
                                    .pool_servers = 1,
                                    .server = "big",
                                    .server_connections = 20000,
                                    .ports = { 80, 40000 },
                                    .port_count = 2 };
    const struct host_facts facts = { .root = root, .plan = size & 1 ? &plan : NULL };
    for (size_t i = 0; i < PATHS; i++) {
        const uint8_t *end = size ? memchr(data, 0, size) : NULL;
        size_t len = end ? (size_t)(end - data) : size;
        write_file(i, data, len);
        data += len + (end != NULL);
        size -= len + (end != NULL);
    }
    if (host_check(&facts, &report) < 0 || report.count < 40) abort();
    for (uint32_t i = 0; i < report.count; i++) {
        const struct host_finding *f = &report.items[i];
        check_text(f->sentence, sizeof(f->sentence));
        check_text(f->remedy, sizeof(f->remedy));
        if (!*f->sentence || strpbrk(f->remedy, "`#")) abort();
    }
    return 0;
}
