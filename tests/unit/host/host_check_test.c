#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/host_cgroup.h"
#include "host/host_check.h"
#include "host/host_file.h"
#include "host/host_unit.h"

#define EDITS_MAX 4

/* A file of the fake host; text NULL: it is not there. */
struct edit {
    const char *path, *text;
};

#define IPV4 "/proc/sys/net/ipv4/"
#define KERNEL "/proc/sys/kernel/"
#define CPU "/sys/devices/system/cpu/"
#define CLOCK "/sys/devices/system/clocksource/clocksource0/"
#define ETH "/sys/class/net/eth0/"
#define UNIT_FILE "/usr/lib/systemd/system/weir.service"
#define LIMITS(files, cores)                                                           \
    "Limit                     Soft Limit           Hard Limit           Units     \n" \
    "Max core file size        " cores "bytes     \n"                                  \
    "Max open files            " files "files     \n"
#define NETSTAT(overflows, drops)                             \
    "TcpExt: SyncookiesSent ListenOverflows ListenDrops TW\n" \
    "TcpExt: 7 " overflows " " drops " 9\n"                   \
    "IpExt: InNoRoutes ListenDrops\nIpExt: 5 66\n"
#define CONNTRACK(drop, early)                                                                    \
    "entries  clashres found new invalid ignore delete drop early_drop icmp_error\n"              \
    "00000001 00000002 00000000 00000000 00000000 00000000 00000000 " drop " 00000000 00000000\n" \
    "00000001 00000002 00000000 00000000 00000000 00000000 00000000 00000000 " early " 00000000\n"
#define MEMORY(available, swap, swap_free)                                                            \
    "MemTotal:       16777216 kB\nMemFree:  1 kB\nMemAvailable:   " available " kB\nSwapTotal: " swap \
    " kB\nSwapFree: " swap_free " kB\n"
#define PSI(some, full)                                      \
    "some avg10=99.00 avg60=" some " avg300=99.00 total=1\n" \
    "full avg10=99.00 avg60=" full " avg300=99.00 total=1\n"

/* A host that has nothing to be said about: four cores, 16 GiB, cgroup v2. */
static const struct edit healthy[] = {
    { "/proc/self/limits",
      LIMITS("1024                 1048576              ", "0                    unlimited            ") },
    { "/proc/self/status", "Name:\tweir\nCpus_allowed:\tf\nCpus_allowed_list:\t0-3\n" },
    { "/proc/self/cgroup", "0::/system.slice/weir.service\n" },
    { "/proc/self/mountinfo", "23 1 0:21 / /proc rw shared:1 - proc proc rw\n"
                              "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw\n" },
    { "/sys/fs/cgroup/system.slice/cpu.max", "max 100000\n" },
    { "/sys/fs/cgroup/system.slice/memory.max", "max\n" },
    { "/sys/fs/cgroup/system.slice/weir.service/cpu.max", "max 100000\n" },
    { "/sys/fs/cgroup/system.slice/weir.service/memory.max", "max\n" },
    { "/proc/sys/fs/nr_open", "1048576\n" },
    { "/proc/sys/fs/file-nr", "1000\t0\t9223372036854775807\n" },
    { UNIT_FILE, "[Service]\nExecStart=/usr/bin/weir\nLimitNOFILE=1048576\n" },
    { "/proc/sys/net/core/somaxconn", "4096\n" },
    { IPV4 "tcp_max_syn_backlog", "4096\n" },
    { IPV4 "tcp_syncookies", "1\n" },
    { IPV4 "tcp_abort_on_overflow", "0\n" },
    { "/proc/net/netstat", NETSTAT("0", "0") },
    { IPV4 "ip_local_port_range", "10240\t65535\n" },
    { IPV4 "ip_local_reserved_ports", "\n" },
    { IPV4 "tcp_tw_reuse", "1\n" },
    { IPV4 "tcp_fin_timeout", "60\n" },
    { IPV4 "tcp_keepalive_time", "7200\n" },
    { IPV4 "tcp_keepalive_intvl", "75\n" },
    { IPV4 "tcp_keepalive_probes", "9\n" },
    { "/proc/sys/net/ipv6/conf/all/disable_ipv6", "0\n" },
    { IPV4 "tcp_slow_start_after_idle", "0\n" },
    { IPV4 "tcp_congestion_control", "cubic\n" },
    { IPV4 "tcp_rmem", "4096\t131072\t6291456\n" },
    { IPV4 "tcp_wmem", "4096\t16384\t4194304\n" },
    { IPV4 "tcp_mem", "190000\t250000\t380000\n" },
    { "/proc/net/sockstat",
      "sockets: used 99\nTCP: inuse 5 orphan 0 tw 3 alloc 10 mem 200\nUDP: inuse 1 mem 2\n" },
    { "/proc/sys/net/netfilter/nf_conntrack_count", "100\n" },
    { "/proc/sys/net/netfilter/nf_conntrack_max", "262144\n" },
    { "/proc/net/stat/nf_conntrack", CONNTRACK("00000000", "00000000") },
    { CPU "online", "0-3\n" },
    { CPU "cpu0/cpufreq/scaling_governor", "performance\n" },
    { CPU "cpu1/cpufreq/scaling_governor", "schedutil\n" },
    { CLOCK "current_clocksource", "tsc\n" },
    { CLOCK "available_clocksource", "tsc hpet acpi_pm\n" },
    { "/proc/loadavg", "9.00 1.00 1.00 1/100 42\n" },
    { "/proc/pressure/cpu", PSI("0.50", "0.00") },
    { "/proc/pressure/memory", PSI("0.00", "0.00") },
    { "/proc/pressure/io", PSI("0.00", "0.00") },
    { KERNEL "osrelease", "6.1.0-18-amd64\n" },
    { "/proc/meminfo", MEMORY("8388608", "0", "0") },
    { "/proc/sys/vm/swappiness", "60\n" },
    { "/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n" },
    { "/sys/kernel/mm/transparent_hugepage/defrag", "always defer [madvise] never\n" },
    { ETH "operstate", "up\n" },
    { ETH "device/vendor", "0x1af4\n" },
    { ETH "queues/rx-0/rps_cpus", "0\n" },
    { ETH "queues/rx-1/rps_cpus", "0\n" },
    { ETH "queues/rx-2/rps_cpus", "0\n" },
    { ETH "queues/rx-3/rps_cpus", "0\n" },
    { ETH "statistics/rx_packets", "1000000\n" },
    { ETH "statistics/tx_packets", "1000000\n" },
    { ETH "statistics/rx_dropped", "0\n" },
    { "/sys/class/net/lo/operstate", "unknown\n" },
    { "/sys/class/net/eth1/operstate", "down\n" },
    { KERNEL "core_pattern", "/var/lib/cores/core.%p\n" },
    { KERNEL "perf_event_paranoid", "1\n" },
    { KERNEL "seccomp/actions_avail", "kill_process kill_thread trap errno user_notif trace log allow\n" },
    { KERNEL "kptr_restrict", "0\n" },
    { KERNEL "yama/ptrace_scope", "0\n" },
};
#define HEALTHY (sizeof(healthy) / sizeof(*healthy))

static const struct host_disk roomy = { "/var/log", "logs", true, 100ull << 30, 50ull << 30, 1000, 900 };

/* What differs from the healthy host, and what must come of it. */
struct row {
    const char *id;
    enum host_verdict verdict;
    const char *says; /* part of the sentence */
    struct edit edits[EDITS_MAX];
    const struct host_plan *plan;
};

#define PLAN(...) (&(const struct host_plan){ __VA_ARGS__ })
#define V1                                                                                            \
    { "/proc/self/cgroup", "4:memory:/box\n2:cpu,cpuacct:/box\n0::/elsewhere\n" },                    \
    {                                                                                                 \
        "/proc/self/mountinfo", "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" \
                                "36 31 0:33 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"   \
                                "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"       \
    }

static const struct host_plan no_certificates = { .connections = 0 };

static const struct row rows[] = {
    { "open_files", HOST_OK, "1048576", { { 0 } } },
    { "open_files",
      HOST_OK,
      "no limit",
      { { "/proc/self/limits", LIMITS("unlimited            unlimited            ", "0 0 ") } } },
    { "open_files",
      HOST_WARN,
      "20000 at most",
      { { "/proc/self/limits", LIMITS("1024                 20000                ", "0 0 ") } } },
    { "open_files",
      HOST_FAIL,
      "1024 at most",
      { { "/proc/self/limits", LIMITS("1024                 1024                 ", "0 0 ") } } },
    { "open_files", HOST_FAIL, "connections: 900000", { { 0 } }, PLAN(.connections = 900000) },
    { "open_files", HOST_OK, "", { { 0 } }, PLAN(.connections = 500000) },
    { "open_files", HOST_NOTE, "not known", { { "/proc/self/limits", NULL } } },
    { "open_files", HOST_NOTE, "not known", { { "/proc/self/limits", "nothing\n" } } },
    { "open_files_service", HOST_OK, "1048576", { { 0 } } },
    { "open_files_service", HOST_OK, "1048576", { { UNIT_FILE, "LimitNOFILE = infinity\n" } } },
    { "open_files_service", HOST_NOTE, "not installed", { { UNIT_FILE, NULL } } },
    { "open_files_service",
      HOST_WARN,
      "no LimitNOFILE",
      { { UNIT_FILE, "[Service]\n#LimitNOFILE=9\nLimitNOFILESoft=8\n" } } },
    { "open_files_service", HOST_WARN, "4096 ", { { UNIT_FILE, "LimitNOFILE=1024:4096\n" } } },
    { "open_files_service", HOST_NOTE, "fs.nr_open", { { UNIT_FILE, "LimitNOFILE=2097152\n" } } },
    { "open_files_service",
      HOST_FAIL,
      "may need",
      { { UNIT_FILE, "LimitNOFILE=100000\n" } },
      PLAN(.connections = 90000) },
    { "open_files_service",
      HOST_WARN,
      "would get 512 ",
      { { "/etc/systemd/system/weir.service.d/n.conf", "[Service]\nLimitNOFILE=512\n" } } },
    { "nr_open", HOST_OK, "1048576", { { 0 } } },
    { "nr_open", HOST_NOTE, "100000", { { "/proc/sys/fs/nr_open", "100000\n" } } },
    { "nr_open", HOST_WARN, "4096", { { "/proc/sys/fs/nr_open", "4096\n" } } },
    { "nr_open", HOST_NOTE, "not known", { { "/proc/sys/fs/nr_open", NULL } } },
    { "file_max", HOST_OK, "without a limit", { { 0 } } },
    { "file_max",
      HOST_OK,
      "1000 open on the whole host, of 2000000",
      { { "/proc/sys/fs/file-nr", "1000 0 2000000" } } },
    { "file_max", HOST_WARN, "800000", { { "/proc/sys/fs/file-nr", "800000 0 1000000" } } },
    { "file_max", HOST_WARN, "of 8192", { { "/proc/sys/fs/file-nr", "100 0 8192" } } },
    { "file_max", HOST_FAIL, "990000", { { "/proc/sys/fs/file-nr", "990000 0 1000000" } } },
    { "file_max", HOST_NOTE, "not known", { { "/proc/sys/fs/file-nr", "1000" } } },

    { "somaxconn", HOST_OK, "4096", { { 0 } } },
    { "somaxconn", HOST_NOTE, "2048", { { "/proc/sys/net/core/somaxconn", "2048" } } },
    { "somaxconn", HOST_WARN, "128", { { "/proc/sys/net/core/somaxconn", "128" } } },
    { "somaxconn", HOST_NOTE, "not known", { { "/proc/sys/net/core/somaxconn", "-1" } } },
    { "syn_backlog", HOST_OK, "no fewer", { { 0 } } },
    { "syn_backlog", HOST_NOTE, "SYN cookies make up", { { IPV4 "tcp_max_syn_backlog", "512" } } },
    { "syn_backlog",
      HOST_WARN,
      "dropped",
      { { IPV4 "tcp_max_syn_backlog", "512" }, { IPV4 "tcp_syncookies", "0" } } },
    { "syncookies", HOST_OK, "queue is full", { { 0 } } },
    { "syncookies", HOST_WARN, "off", { { IPV4 "tcp_syncookies", "0" } } },
    { "syncookies", HOST_NOTE, "always", { { IPV4 "tcp_syncookies", "2" } } },
    { "syncookies", HOST_NOTE, "not known", { { IPV4 "tcp_syncookies", NULL } } },
    { "abort_on_overflow", HOST_OK, "left", { { 0 } } },
    { "abort_on_overflow", HOST_WARN, "reset", { { IPV4 "tcp_abort_on_overflow", "1" } } },
    { "listen_overflows", HOST_OK, "no connection", { { 0 } } },
    { "listen_overflows", HOST_NOTE, "12 connections", { { "/proc/net/netstat", NETSTAT("0", "12") } } },
    { "listen_overflows", HOST_WARN, "11 as a queue", { { "/proc/net/netstat", NETSTAT("11", "12") } } },
    { "listen_overflows", HOST_NOTE, "not known", { { "/proc/net/netstat", "TcpExt: A B\nTcpExt: 1 2\n" } } },
    { "listen_overflows",
      HOST_NOTE,
      "not known",
      { { "/proc/net/netstat", "TcpExt: A ListenOverflows\nTcpExt: 1\n" } } },

    { "port_range", HOST_OK, "55296 local ports", { { 0 } } },
    { "port_range",
      HOST_NOTE,
      "28232 local ports (32768 to 60999)",
      { { IPV4 "ip_local_port_range", "32768 60999" } } },
    { "port_range", HOST_WARN, "1001 local ports", { { IPV4 "ip_local_port_range", "50000 51000" } } },
    { "port_range",
      HOST_WARN,
      "991 local ports",
      { { IPV4 "ip_local_port_range", "50000 51000" },
        { IPV4 "ip_local_reserved_ports", "80,49995-50008,51000,52000" } } },
    { "port_range",
      HOST_FAIL,
      "server big cannot have its 60000",
      { { 0 } },
      PLAN(.server = "big", .server_connections = 60000) },
    { "port_range",
      HOST_WARN,
      "pool web (servers: 2) can have 110592",
      { { 0 } },
      PLAN(.pool = "web", .pool_servers = 2, .connections = 200000) },
    { "port_range", HOST_NOTE, "not known", { { IPV4 "ip_local_port_range", "60999 32768" } } },
    { "port_range", HOST_NOTE, "not known", { { IPV4 "ip_local_port_range", "1" } } },
    { "reserved_ports", HOST_OK, "0 of the local ports", { { 0 } } },
    { "reserved_ports",
      HOST_WARN,
      "take: 18999,20000",
      { { IPV4 "ip_local_reserved_ports", "30000" } },
      PLAN(.ports = { 80, 18999, 20000, 30000 }, .port_count = 4) },
    { "reserved_ports",
      HOST_OK,
      "no listener",
      { { IPV4 "ip_local_reserved_ports", "18000-19000" } },
      PLAN(.ports = { 80, 18999 }, .port_count = 2) },
    { "reserved_ports", HOST_NOTE, "not known", { { IPV4 "ip_local_reserved_ports", NULL } } },
    { "tw_reuse", HOST_OK, "when they are safe", { { 0 } } },
    { "tw_reuse", HOST_NOTE, "loopback", { { IPV4 "tcp_tw_reuse", "2" } } },
    { "tw_reuse", HOST_WARN, "not used again", { { IPV4 "tcp_tw_reuse", "0" } } },
    { "fin_timeout", HOST_OK, "60 s", { { 0 } } },
    { "fin_timeout", HOST_WARN, "600 s", { { IPV4 "tcp_fin_timeout", "600" } } },
    { "fin_timeout", HOST_NOTE, "1 s", { { IPV4 "tcp_fin_timeout", "1" } } },
    { "keepalive", HOST_OK, "after 7200 s, then 9 times every 75 s", { { 0 } } },
    { "keepalive", HOST_NOTE, "after 90000 s", { { IPV4 "tcp_keepalive_time", "90000" } } },
    { "ipv6", HOST_OK, "on", { { 0 } } },
    { "ipv6", HOST_NOTE, "disabled", { { "/proc/sys/net/ipv6/conf/all/disable_ipv6", "1" } } },
    { "ipv6", HOST_NOTE, "not in this kernel", { { "/proc/sys/net/ipv6/conf/all/disable_ipv6", NULL } } },
    { "ipv6",
      HOST_FAIL,
      "has IPv6 addresses",
      { { "/proc/sys/net/ipv6/conf/all/disable_ipv6", "1" } },
      PLAN(.uses_ipv6 = true) },
    { "ipv6",
      HOST_FAIL,
      "has IPv6 addresses",
      { { "/proc/sys/net/ipv6/conf/all/disable_ipv6", NULL } },
      PLAN(.uses_ipv6 = true) },

    { "slow_start_after_idle", HOST_OK, "as fast", { { 0 } } },
    { "slow_start_after_idle", HOST_NOTE, "slowly", { { IPV4 "tcp_slow_start_after_idle", "1" } } },
    { "congestion_control", HOST_OK, "cubic", { { 0 } } },
    { "congestion_control", HOST_NOTE, "reno", { { IPV4 "tcp_congestion_control", "reno" } } },
    { "tcp_rmem", HOST_OK, "128 KiB to begin with, 6.0 MiB at most", { { 0 } } },
    { "tcp_rmem", HOST_WARN, "208 KiB at most", { { IPV4 "tcp_rmem", "4096 87380 212992" } } },
    { "tcp_rmem", HOST_NOTE, "256 MiB at most", { { IPV4 "tcp_rmem", "4096 87380 268435456" } } },
    { "tcp_wmem", HOST_OK, "4.0 MiB at most", { { 0 } } },
    { "tcp_wmem", HOST_WARN, "208 KiB at most", { { IPV4 "tcp_wmem", "4096 16384 212992" } } },
    { "tcp_wmem", HOST_NOTE, "256 MiB at most", { { IPV4 "tcp_wmem", "4096 16384 268435456" } } },
    { "tcp_mem", HOST_OK, "9 % of the memory", { { 0 } } },
    { "tcp_mem", HOST_NOTE, "72 % of", { { IPV4 "tcp_mem", "1000000 2000000 3000000" } } },
    { "tcp_mem", HOST_WARN, "0 % of", { { IPV4 "tcp_mem", "1000 2000 3000" } } },
    { "tcp_mem", HOST_WARN, "under pressure", { { "/proc/net/sockstat", "TCP: inuse 1 mem 260000\n" } } },
    { "tcp_mem", HOST_FAIL, "under pressure", { { "/proc/net/sockstat", "TCP: inuse 1 mem 380000\n" } } },
    { "tcp_mem", HOST_NOTE, "not known", { { "/proc/net/sockstat", "TCP: inuse 1\n" } } },

    { "conntrack", HOST_OK, "100 of 262144", { { 0 } } },
    { "conntrack", HOST_OK, "not loaded", { { "/proc/sys/net/netfilter/nf_conntrack_count", NULL } } },
    { "conntrack", HOST_NOTE, "of 8192", { { "/proc/sys/net/netfilter/nf_conntrack_max", "8192" } } },
    { "conntrack", HOST_WARN, "80 %", { { "/proc/sys/net/netfilter/nf_conntrack_count", "209716" } } },
    { "conntrack", HOST_FAIL, "100 %", { { "/proc/sys/net/netfilter/nf_conntrack_count", "262144" } } },
    { "conntrack", HOST_FAIL, "of 0 ", { { "/proc/sys/net/netfilter/nf_conntrack_max", "0" } } },
    { "conntrack", HOST_NOTE, "not known", { { "/proc/sys/net/netfilter/nf_conntrack_max", "many" } } },
    { "conntrack_drops", HOST_OK, "0 packets", { { 0 } } },
    { "conntrack_drops", HOST_OK, "not loaded", { { "/proc/sys/net/netfilter/nf_conntrack_count", NULL } } },
    { "conntrack_drops",
      HOST_WARN,
      "26 packets",
      { { "/proc/net/stat/nf_conntrack", CONNTRACK("0000001a", "00000000") } } },
    { "conntrack_drops",
      HOST_NOTE,
      "16 entries",
      { { "/proc/net/stat/nf_conntrack", CONNTRACK("00000000", "00000010") } } },
    { "conntrack_drops", HOST_NOTE, "not known", { { "/proc/net/stat/nf_conntrack", NULL } } },
    { "conntrack_drops",
      HOST_NOTE,
      "not known",
      { { "/proc/net/stat/nf_conntrack", "entries found\n1 2\n" } } },

    { "cores", HOST_OK, "4 of 4 cores", { { 0 } } },
    { "cores", HOST_NOTE, "2 of 4 cores", { { "/proc/self/status", "Cpus_allowed_list:\t0,3\n" } } },
    { "cores", HOST_WARN, "`workers: 9`", { { 0 } }, PLAN(.workers = 9) },
    { "cores", HOST_OK, "", { { 0 } }, PLAN(.workers = 4) },
    { "cores", HOST_NOTE, "not known", { { CPU "online", "all\n" } } },
    { "cpu_quota", HOST_OK, "no limit", { { 0 } } },
    { "cpu_quota",
      HOST_OK,
      "8.00 cores",
      { { "/sys/fs/cgroup/system.slice/weir.service/cpu.max", "800000 100000" } } },
    { "cpu_quota",
      HOST_WARN,
      "1.50 cores",
      { { "/sys/fs/cgroup/system.slice/weir.service/cpu.max", "150000 100000" } } },
    { "cpu_quota", HOST_WARN, "2.00 cores", { { "/sys/fs/cgroup/system.slice/cpu.max", "200000 100000" } } },
    { "cpu_quota",
      HOST_WARN,
      "25.0 % of the periods",
      { { "/sys/fs/cgroup/system.slice/cpu.max", "800000 100000" },
        { "/sys/fs/cgroup/system.slice/cpu.stat", "usage_usec 9\nnr_periods 100\nnr_throttled 25\n" } } },
    { "cpu_quota",
      HOST_WARN,
      "0.50 cores",
      { V1,
        { "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "50000" },
        { "/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000" } } },
    { "cpu_quota",
      HOST_OK,
      "no limit",
      { V1,
        { "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1" },
        { "/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000" } } },
    { "cpu_quota", HOST_NOTE, "not known", { { "/proc/self/cgroup", NULL } } },
    { "governor", HOST_OK, "performance", { { 0 } } },
    { "governor",
      HOST_OK,
      "virtual machine",
      { { CPU "cpu0/cpufreq/scaling_governor", NULL }, { CPU "cpu1/cpufreq/scaling_governor", NULL } } },
    { "governor",
      HOST_NOTE,
      "ondemand, the worst of 2",
      { { CPU "cpu1/cpufreq/scaling_governor", "ondemand" } } },
    { "governor",
      HOST_NOTE,
      "powersave",
      { { CPU "cpu1/cpufreq/scaling_governor", "powersave" },
        { CPU "cpu1/cpufreq/scaling_driver", "intel_pstate" } } },
    { "governor",
      HOST_WARN,
      "powersave",
      { { CPU "cpu1/cpufreq/scaling_governor", "powersave" },
        { CPU "cpu1/cpufreq/scaling_driver", "acpi-cpufreq" } } },
    { "clock_source", HOST_OK, "tsc", { { 0 } } },
    { "clock_source", HOST_OK, "kvm-clock", { { CLOCK "current_clocksource", "kvm-clock" } } },
    { "clock_source", HOST_NOTE, "xen", { { CLOCK "current_clocksource", "xen" } } },
    { "clock_source", HOST_WARN, "hpet", { { CLOCK "current_clocksource", "hpet" } } },
    { "clock_source", HOST_WARN, "acpi_pm", { { CLOCK "current_clocksource", "acpi_pm" } } },
    { "clock_source", HOST_NOTE, "not known", { { CLOCK "current_clocksource", NULL } } },
    { "load", HOST_OK, "9.00 threads", { { 0 } } },
    { "load", HOST_NOTE, "on 4 cores", { { "/proc/loadavg", "1.00 5.00 1.00 1/100 42" } } },
    { "load", HOST_WARN, "on 4 cores", { { "/proc/loadavg", "1.00 8.50 1.00 1/100 42" } } },
    { "load", HOST_NOTE, "not known", { { "/proc/loadavg", "high" } } },
    { "pressure_cpu", HOST_OK, "0 %", { { 0 } } },
    { "pressure_cpu", HOST_NOTE, "30 %", { { "/proc/pressure/cpu", PSI("30.00", "0.00") } } },
    { "pressure_cpu", HOST_WARN, "60 %", { { "/proc/pressure/cpu", PSI("60.00", "0.00") } } },
    { "pressure_cpu", HOST_NOTE, "not known", { { "/proc/pressure/cpu", NULL } } },
    { "kernel", HOST_OK, "Linux 6.1.0-18-amd64", { { 0 } } },
    { "kernel", HOST_NOTE, "Linux 5.4.0", { { KERNEL "osrelease", "5.4.0" } } },
    { "kernel", HOST_WARN, "Linux 3.10.0", { { KERNEL "osrelease", "3.10.0-1160.el7" } } },
    { "kernel", HOST_NOTE, "not known", { { KERNEL "osrelease", "plan9" } } },

    { "memory", HOST_OK, "8.0 GiB of 16 GiB", { { 0 } } },
    { "memory", HOST_WARN, "1.0 GiB of 16 GiB", { { "/proc/meminfo", MEMORY("1048576", "0", "0") } } },
    { "memory", HOST_FAIL, "100 MiB of 16 GiB", { { "/proc/meminfo", MEMORY("102400", "0", "0") } } },
    { "memory", HOST_NOTE, "not known", { { "/proc/meminfo", "MemTotal: 5 kB\n" } } },
    { "memory_group", HOST_OK, "no limit", { { 0 } } },
    { "memory_group",
      HOST_OK,
      "1.0 GiB of 4.0 GiB",
      { { "/sys/fs/cgroup/system.slice/memory.max", "4294967296" },
        { "/sys/fs/cgroup/system.slice/memory.current", "1073741824" } } },
    { "memory_group",
      HOST_WARN,
      "950 MiB of 1000 MiB",
      { { "/sys/fs/cgroup/system.slice/memory.max", "1048576000" },
        { "/sys/fs/cgroup/system.slice/memory.current", "996147200" } } },
    { "memory_group",
      HOST_WARN,
      "3 processes were killed",
      { { "/sys/fs/cgroup/system.slice/weir.service/memory.events", "low 0\noom 9\noom_kill 3\n" } } },
    { "memory_group",
      HOST_WARN,
      "95 MiB of 100 MiB",
      { V1,
        { "/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "104857600" },
        { "/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "99614720" } } },
    { "memory_group",
      HOST_OK,
      "no limit",
      { V1, { "/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712" } } },
    { "memory_group", HOST_NOTE, "not known", { { "/proc/self/mountinfo", "" } } },
    { "swap", HOST_OK, "no swap", { { 0 } } },
    { "swap",
      HOST_OK,
      "vm.swappiness is 1",
      { { "/proc/meminfo", MEMORY("8388608", "1048576", "1048576") }, { "/proc/sys/vm/swappiness", "1" } } },
    { "swap",
      HOST_NOTE,
      "vm.swappiness is 60",
      { { "/proc/meminfo", MEMORY("8388608", "1048576", "1048576") } } },
    { "swap",
      HOST_WARN,
      "1023 MiB of 1.0 GiB",
      { { "/proc/meminfo", MEMORY("8388608", "1048576", "1024") } } },
    { "swap",
      HOST_NOTE,
      "not known",
      { { "/proc/meminfo", MEMORY("8388608", "1048576", "1024") }, { "/proc/sys/vm/swappiness", NULL } } },
    { "huge_pages", HOST_OK, "[madvise]", { { 0 } } },
    { "huge_pages",
      HOST_OK,
      "[never]",
      { { "/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]" } } },
    { "huge_pages",
      HOST_NOTE,
      "for everything",
      { { "/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never" } } },
    { "huge_pages",
      HOST_WARN,
      "waits until",
      { { "/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never" },
        { "/sys/kernel/mm/transparent_hugepage/defrag", "[always] defer madvise never" } } },
    { "huge_pages", HOST_NOTE, "not known", { { "/sys/kernel/mm/transparent_hugepage/enabled", NULL } } },
    { "huge_pages", HOST_NOTE, "what", { { "/sys/kernel/mm/transparent_hugepage/enabled", "what" } } },
    { "pressure_memory", HOST_OK, "0 %", { { 0 } } },
    { "pressure_memory", HOST_NOTE, "2 %", { { "/proc/pressure/memory", PSI("2.00", "0.00") } } },
    { "pressure_memory", HOST_WARN, "8 %", { { "/proc/pressure/memory", PSI("8.00", "1.00") } } },
    { "pressure_memory",
      HOST_FAIL,
      "all of them in 15 %",
      { { "/proc/pressure/memory", PSI("20.00", "15.00") } } },

    { "nic_queues", HOST_OK, "4 receive queues for 4 cores", { { 0 } } },
    { "nic_queues",
      HOST_NOTE,
      "3 receive queues",
      { { ETH "queues/rx-3/rps_cpus", NULL }, { ETH "queues/rx-3", NULL } } },
    { "nic_queues",
      HOST_WARN,
      "1 receive queue for 4",
      { { "/sys/class/net/eth1/operstate", "up" },
        { "/sys/class/net/eth1/device/vendor", "1" },
        { "/sys/class/net/eth1/queues/rx-0/rps_cpus", "00000000,00000000" },
        { ETH "operstate", "down" } } },
    { "nic_queues",
      HOST_OK,
      "software",
      { { "/sys/class/net/eth1/operstate", "up" },
        { "/sys/class/net/eth1/device/vendor", "1" },
        { "/sys/class/net/eth1/queues/rx-0/rps_cpus", "00000000,0000000f" },
        { ETH "operstate", "down" } } },
    { "nic_queues",
      HOST_OK,
      "not a device",
      { { "/sys/class/net/eth1/operstate", "up" }, { ETH "operstate", "down" } } },
    { "nic_queues", HOST_NOTE, "no interface", { { ETH "operstate", "down" } } },
    { "nic_queues",
      HOST_NOTE,
      "shows no queues",
      { { "/sys/class/net/eth1/operstate", "up" },
        { "/sys/class/net/eth1/device/vendor", "1" },
        { ETH "operstate", "down" } } },
    { "nic_losses", HOST_OK, "0 dropped", { { 0 } } },
    { "nic_losses", HOST_NOTE, "7 dropped", { { ETH "statistics/rx_dropped", "7" } } },
    { "nic_losses", HOST_WARN, "90000 without room", { { ETH "statistics/rx_missed_errors", "90000" } } },
    { "nic_losses", HOST_NOTE, "no statistics", { { ETH "statistics/rx_packets", NULL } } },

    { "core_pattern", HOST_OK, "/var/lib/cores", { { 0 } } },
    { "core_pattern",
      HOST_OK,
      "coredumpctl",
      { { KERNEL "core_pattern", "|/usr/lib/systemd/systemd-coredump %P" } } },
    { "core_pattern", HOST_NOTE, "|/opt/catch", { { KERNEL "core_pattern", "|/opt/catch %p" } } },
    { "core_pattern", HOST_WARN, "apport", { { KERNEL "core_pattern", "|/usr/share/apport/apport %p" } } },
    { "core_pattern", HOST_WARN, "\"core\" is no absolute path", { { KERNEL "core_pattern", "core" } } },
    { "core_pattern", HOST_WARN, "is empty", { { KERNEL "core_pattern", "\n" } } },
    { "core_pattern", HOST_NOTE, "not known", { { KERNEL "core_pattern", NULL } } },
    { "core_limit",
      HOST_OK,
      "no limit",
      { { "/proc/self/limits", LIMITS("9 9 ", "unlimited            unlimited            ") } } },
    { "core_limit", HOST_NOTE, "leave no core", { { 0 } } },
    { "core_limit", HOST_OK, "a pipe", { { KERNEL "core_pattern", "|/opt/catch %p" } } },
    { "core_limit",
      HOST_WARN,
      "hard limit is 0",
      { { "/proc/self/limits", LIMITS("9 9 ", "0                    0                    ") } } },
    { "landlock", HOST_OK, "version 4", { { 0 } } },
    { "landlock",
      HOST_NOTE,
      "leaves it out",
      { { 0 } },
      .plan = PLAN(.keeps_files = true, .keeps_calls = true) },
    { "seccomp", HOST_OK, "refused", { { 0 } } },
    { "seccomp",
      HOST_NOTE,
      "leaves it out",
      { { 0 } },
      .plan = PLAN(.keeps_files = true, .keeps_calls = true) },
    { "seccomp", HOST_NOTE, "it has \"allow\"", { { KERNEL "seccomp/actions_avail", "allow" } } },
    { "seccomp", HOST_NOTE, "not known", { { KERNEL "seccomp/actions_avail", NULL } } },
    { "perf_events", HOST_OK, "level 1", { { 0 } } },
    { "perf_events", HOST_OK, "level -1", { { KERNEL "perf_event_paranoid", "-1" } } },
    { "perf_events", HOST_NOTE, "outside of the kernel", { { KERNEL "perf_event_paranoid", "2" } } },
    { "perf_events", HOST_WARN, "timers", { { KERNEL "perf_event_paranoid", "4" } } },
    { "perf_events", HOST_NOTE, "not known", { { KERNEL "perf_event_paranoid", "none" } } },
    { "perf_events", HOST_NOTE, "not known", { { KERNEL "perf_event_paranoid", NULL } } },
    { "kernel_names", HOST_OK, "to be had", { { 0 } } },
    { "kernel_names", HOST_NOTE, "privileged", { { KERNEL "kptr_restrict", "1" } } },
    { "kernel_names", HOST_NOTE, "nobody", { { KERNEL "kptr_restrict", "2" } } },
    { "ptrace", HOST_OK, "can be looked into", { { 0 } } },
    { "ptrace", HOST_OK, "no Yama", { { KERNEL "yama/ptrace_scope", NULL } } },
    { "ptrace", HOST_NOTE, "descendants", { { KERNEL "yama/ptrace_scope", "1" } } },
    { "ptrace", HOST_WARN, "nobody", { { KERNEL "yama/ptrace_scope", "3" } } },

    { "disk_room", HOST_OK, "50 GiB of 100 GiB", { { 0 } } },
    { "certificate_days", HOST_NOTE, "no configuration", { { 0 } } },
    { "certificate_days", HOST_OK, "no listener has any", { { 0 } }, &no_certificates },
    { "stale_sources", HOST_NOTE, "no configuration", { { 0 } } },
    { "stale_sources", HOST_OK, "no pool has servers", { { 0 } }, &no_certificates },
    { "pressure_io", HOST_OK, "0 %", { { 0 } } },
    { "pressure_io", HOST_NOTE, "30 %", { { "/proc/pressure/io", PSI("30.00", "5.00") } } },
    { "pressure_io", HOST_WARN, "all of them in 25 %", { { "/proc/pressure/io", PSI("30.00", "25.00") } } },
};
#define ROWS (sizeof(rows) / sizeof(*rows))

/* the fake host */

static char root[64];

static void path_of(const char *path, char out[HOST_PATH_MAX])
{
    snprintf(out, HOST_PATH_MAX, "%s%s", root, path);
}

static void make_directories(char *path)
{
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
}

static void apply(const struct edit *edit)
{
    char path[HOST_PATH_MAX];
    path_of(edit->path, path);
    if (!edit->text) {
        remove(path);
        return;
    }
    make_directories(path);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(edit->text, f);
    assert_int_equal(fclose(f), 0);
}

/* As it is on the healthy host; what that lacks goes, directories included that are empty then. */
static void revert(const struct edit *edit)
{
    char path[HOST_PATH_MAX];
    for (size_t i = 0; i < HEALTHY; i++)
        if (strcmp(healthy[i].path, edit->path) == 0) {
            apply(&healthy[i]);
            return;
        }
    path_of(edit->path, path);
    remove(path);
    for (char *slash; (slash = strrchr(path, '/')) > path + strlen(root);) {
        *slash = 0;
        if (rmdir(path) < 0) return;
    }
}

static int set_up(void **state)
{
    (void)state;
    const char *directory = getenv("TMPDIR");
    snprintf(root, sizeof(root), "%s/weir-host-XXXXXX",
             directory && strlen(directory) < 32 ? directory : "/tmp");
    if (!mkdtemp(root)) return -1;
    for (size_t i = 0; i < HEALTHY; i++) apply(&healthy[i]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < HEALTHY; i++) revert(&(struct edit){ healthy[i].path, NULL });
    char command[128];
    snprintf(command, sizeof(command), "rm -rf '%s'", root);
    return system(command); /* NOLINT(cert-env33-c): a name of mkdtemp() */
}

static const struct host_report *examine(const struct host_facts *facts)
{
    static struct host_report report;
    assert_int_equal(host_check(facts, &report), 0);
    return &report;
}

static struct host_facts facts_here(void)
{
    return (struct host_facts){
        .root = root,
        .disks = &roomy,
        .disk_count = 1,
        .clock = HOST_CLOCK_SYNCHRONIZED,
        .knows_landlock = true,
        .landlock_version = 4,
    };
}

static const struct host_finding *find(const struct host_report *report, const char *id)
{
    for (uint32_t i = 0; i < report->count; i++)
        if (strcmp(report->items[i].id, id) == 0) return &report->items[i];
    return NULL;
}

static const struct host_finding *examine_row(const struct row *row)
{
    struct host_facts facts = facts_here();
    facts.plan = row->plan;
    for (int i = 0; i < EDITS_MAX && row->edits[i].path; i++) apply(&row->edits[i]);
    const struct host_finding *f = find(examine(&facts), row->id);
    for (int i = EDITS_MAX - 1; i >= 0; i--)
        if (row->edits[i].path) revert(&row->edits[i]);
    assert_non_null(f);
    return f;
}

/* the tests */

static void each_fact_gets_its_verdict(void **state)
{
    (void)state;
    int failed = 0;
    for (size_t i = 0; i < ROWS; i++) {
        const struct host_finding *f = examine_row(&rows[i]);
        if (f->verdict == rows[i].verdict && strstr(f->sentence, rows[i].says)) continue;
        print_error("%s is %s: \"%s\", not %s: \"%s\"\n", f->id, host_verdict_name(f->verdict), f->sentence,
                    host_verdict_name(rows[i].verdict), rows[i].says);
        failed++;
    }
    assert_int_equal(failed, 0);
}

static void each_check_has_a_row_for_ok(void **state)
{
    (void)state;
    struct host_facts facts = facts_here();
    const struct host_report *report = examine(&facts);
    for (uint32_t i = 0; i < report->count; i++) {
        const char *id = report->items[i].id;
        bool is_found = strcmp(id, "time_sync") == 0;
        for (size_t k = 0; k < ROWS; k++)
            is_found |= strcmp(rows[k].id, id) == 0 && rows[k].verdict == HOST_OK;
        if (!is_found) fail_msg("%s is never ok", id);
    }
}

static void what_cannot_be_read_is_never_ok(void **state)
{
    (void)state;
    struct host_facts facts = { .root = "/nonexistent/weir" };
    const struct host_report *report = examine(&facts);
    assert_true(report->count > 40);
    for (uint32_t i = 0; i < report->count; i++)
        if (report->items[i].verdict != HOST_NOTE)
            fail_msg("%s: %s", report->items[i].id, report->items[i].sentence);
}

static void every_finding_says_why_and_a_bad_one_how_to_mend_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ROWS; i++) {
        const struct host_finding *f = examine_row(&rows[i]);
        assert_true(*f->sentence && *f->why && *f->group);
        bool is_exempt = strcmp(f->id, "cores") == 0 || strcmp(f->id, "kernel") == 0 ||
                         (strcmp(f->id, "ipv6") == 0 && strstr(f->sentence, "not in this kernel"));
        if (f->verdict >= HOST_WARN && !*f->remedy && !is_exempt)
            fail_msg("%s: %s: no remedy", f->id, f->sentence);
        if (f->verdict == HOST_OK) assert_string_equal(f->remedy, "");
        assert_null(strpbrk(f->remedy, "`#")); /* no remarks, which not every shell takes for such */
    }
}

static void landlock_is_judged_by_its_version(void **state)
{
    (void)state;
    static const struct {
        long version;
        const char *says;
    } cases[] = { { -1, "no landlock" }, { 0, "lsm=" }, { 1, "version 1" }, { 2, "version 2" } };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct host_facts facts = facts_here();
        facts.landlock_version = cases[i].version;
        const struct host_finding *f = find(examine(&facts), "landlock");
        assert_int_equal(f->verdict, cases[i].version < 2 ? HOST_NOTE : HOST_OK);
        assert_non_null(strstr(f->sentence, cases[i].says));
    }
}

static void disks_are_judged_by_room_and_inodes(void **state)
{
    (void)state;
    static const struct {
        struct host_disk disk;
        enum host_verdict verdict;
    } cases[] = {
        { { "/a", "logs", true, 100ull << 30, 50ull << 30, 1000, 500 }, HOST_OK },
        { { "/a", "logs", true, 1000ull << 30, 60ull << 30, 0, 0 }, HOST_OK },
        { { "/a", "logs", true, 100ull << 30, 5ull << 30, 1000, 500 }, HOST_WARN },
        { { "/a", "logs", true, 1000ull << 30, 20ull << 30, 1000, 500 }, HOST_WARN },
        { { "/a", "logs", true, 100ull << 30, 50ull << 30, 1000, 50 }, HOST_WARN },
        { { "/a", "logs", true, 100ull << 30, 50ull << 30, 1000, 1 }, HOST_FAIL },
        { { "/a", "logs", true, 100ull << 30, 1ull << 20, 1000, 500 }, HOST_FAIL },
        { { "/a", "logs", false, 0, 0, 0, 0 }, HOST_NOTE },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct host_facts facts = facts_here();
        facts.disks = &cases[i].disk;
        const struct host_finding *f = find(examine(&facts), "disk_room");
        assert_int_equal(f->verdict, cases[i].verdict);
        assert_string_equal(f->subject, "/a");
    }
}

static void certificates_are_judged_by_their_days(void **state)
{
    (void)state;
    enum { DAY = 86400, NOW = 1000 * DAY };
    static const struct {
        struct host_certificate certificate;
        enum host_verdict verdict;
        const char *says;
    } cases[] = {
        { { "/a", 0, NOW + 15 * DAY }, HOST_OK, "in 15 days" },
        { { "/a", 0, NOW + 14 * DAY }, HOST_WARN, "in 14 days" },
        { { "/a", 0, NOW + 1 }, HOST_WARN, "in 0 days" },
        { { "/a", 0, NOW }, HOST_FAIL, "expired on 1972-09-27" },
        { { "/a", NOW + 1, NOW + 99 * DAY }, HOST_FAIL, "not valid before" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct host_facts facts = facts_here();
        facts.plan = &no_certificates;
        facts.certificates = &cases[i].certificate;
        facts.certificate_count = 1;
        facts.now_s = NOW;
        const struct host_finding *f = find(examine(&facts), "certificate_days");
        assert_int_equal(f->verdict, cases[i].verdict);
        assert_non_null(strstr(f->sentence, cases[i].says));
        assert_string_equal(f->subject, f->verdict == HOST_OK ? "" : "/a");
        assert_int_equal(*f->remedy != 0, f->verdict != HOST_OK);
    }
}

static void sources_are_judged_by_their_answers(void **state)
{
    (void)state;
    static const struct host_plan plan = { .places = 1 };
    static const struct {
        struct host_source source;
        const char *unknown;
        enum host_verdict verdict;
        const char *says;
    } cases[] = {
        { { "app.internal:80", NULL, 0, 2 }, NULL, HOST_OK, "all 1 answer" },
        { { "app.internal:80", "nobody answers", 90, 2 },
          NULL,
          HOST_WARN,
          "stale for 90 s: nobody answers; 2 servers from before are used" },
        { { "app.internal:80", "nobody answers", 90, 0 },
          NULL,
          HOST_FAIL,
          "leads to no server, for 90 s: nobody answers" },
        { { 0 }, "no weir runs", HOST_NOTE, "not known: no weir runs" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct host_facts facts = facts_here();
        facts.plan = &plan;
        facts.sources = &cases[i].source;
        facts.source_count = 1;
        facts.sources_unknown = cases[i].unknown;
        const struct host_finding *f = find(examine(&facts), "stale_sources");
        assert_int_equal(f->verdict, cases[i].verdict);
        assert_non_null(strstr(f->sentence, cases[i].says));
        assert_string_equal(f->subject, f->verdict >= HOST_WARN ? "app.internal:80" : "");
    }
}

static void many_bad_certificates_are_counted(void **state)
{
    (void)state;
    struct host_certificate many[100];
    for (size_t i = 0; i < 100; i++) many[i] = (struct host_certificate){ "/a", 0, 1 };
    struct host_facts facts = facts_here();
    facts.plan = &no_certificates;
    facts.certificates = many;
    facts.certificate_count = 100;
    facts.now_s = 2;
    const struct host_report *report = examine(&facts);
    uint32_t count = 0;
    for (uint32_t i = 0; i < report->count; i++)
        count += strcmp(report->items[i].id, "certificate_days") == 0;
    assert_int_equal(count, 21);
}

static void the_clock_is_free_synchronized_or_not_known(void **state)
{
    (void)state;
    static const enum host_verdict verdicts[] = { HOST_NOTE, HOST_WARN, HOST_OK };
    for (enum host_clock clock = HOST_CLOCK_UNKNOWN; clock <= HOST_CLOCK_SYNCHRONIZED; clock++) {
        struct host_facts facts = facts_here();
        facts.clock = clock;
        assert_int_equal(find(examine(&facts), "time_sync")->verdict, verdicts[clock]);
    }
}

static void the_worst_comes_first_and_groups_stay_together(void **state)
{
    (void)state;
    static const struct edit edits[] = { { "/proc/pressure/memory", PSI("20.00", "15.00") },
                                         { IPV4 "tcp_tw_reuse", "0" } };
    struct host_facts facts = facts_here();
    apply(&edits[0]);
    apply(&edits[1]);
    const struct host_report *report = examine(&facts);
    assert_string_equal(report->items[0].id, "pressure_memory");
    assert_int_equal(host_worst(report), HOST_FAIL);
    enum host_verdict first = HOST_FAIL;
    for (uint32_t i = 1; i < report->count; i++) {
        const struct host_finding *f = &report->items[i], *before = f - 1;
        if (strcmp(f->group, before->group) == 0) {
            assert_true(f->verdict <= before->verdict);
            continue;
        }
        assert_true(f->verdict <= first);
        first = f->verdict;
        for (uint32_t k = 0; k < i; k++) assert_string_not_equal(report->items[k].group, f->group);
    }
    revert(&edits[0]);
    revert(&edits[1]);
}

static void hostile_files_steer_no_terminal_and_no_shell(void **state)
{
    (void)state;
    static const char poison[] = "\x1b[2J`reboot`$(reboot);\xc2\x9b\xe2\x80\xae|\x07\r9";
    struct host_facts facts = facts_here();
    for (size_t i = 0; i < HEALTHY; i++) apply(&(struct edit){ healthy[i].path, poison });
    apply(&(struct edit){ "/sys/class/net/e;reboot \x1b/operstate", "up" });
    apply(&(struct edit){ "/sys/class/net/e;reboot \x1b/device/x", "" });
    apply(&(struct edit){ "/sys/class/net/e;reboot \x1b/queues/rx-0/rps_cpus", "0" });
    apply(&(struct edit){ "/sys/class/net/e;reboot \x1b/statistics/rx_packets", "5" });
    apply(&(struct edit){ "/sys/class/net/e;reboot \x1b/statistics/rx_errors", "5" });
    const struct host_report *report = examine(&facts);
    for (uint32_t i = 0; i < report->count; i++) {
        const struct host_finding *f = &report->items[i];
        for (const char *c = f->sentence; *c; c++) assert_in_range((unsigned char)*c, ' ', '~');
        for (const char *c = f->subject; *c; c++) assert_in_range((unsigned char)*c, ' ', '~');
        assert_null(strstr(f->remedy, "reboot`"));
        assert_null(strstr(f->remedy, ";reboot"));
    }
    char command[HOST_PATH_MAX];
    snprintf(command, sizeof(command), "rm -rf '%s/sys/class/net/'e*", root);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
    for (size_t i = 0; i < HEALTHY; i++) apply(&healthy[i]);
}

static void a_pipe_in_place_of_a_file_does_not_wait(void **state)
{
    (void)state;
    char path[HOST_PATH_MAX], text[8];
    path_of("/pipe", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(host_read(root, "/pipe", text, sizeof(text)), -1);
    assert_int_equal(host_read(root, "/proc", text, sizeof(text)), -1);
    remove(path);
}

static void a_long_file_is_cut(void **state)
{
    (void)state;
    char text[8];
    apply(&(struct edit){ "/long", "0123456789\n" });
    assert_int_equal(host_read(root, "/long", text, sizeof(text)), 7);
    assert_string_equal(text, "0123456");
    revert(&(struct edit){ "/long", NULL });
}

static void many_interfaces_fit_in_the_report(void **state)
{
    (void)state;
    struct host_facts facts = facts_here();
    char path[HOST_PATH_MAX];
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "/sys/class/net/veth%d/operstate", i);
        apply(&(struct edit){ path, "up" });
    }
    const struct host_report *report = examine(&facts);
    assert_true(report->count > 60 && report->count < HOST_FINDINGS_MAX);
    assert_non_null(find(report, "pressure_io"));
    for (int i = 0; i < 100; i++) {
        snprintf(path, sizeof(path), "/sys/class/net/veth%d/operstate", i);
        revert(&(struct edit){ path, NULL });
    }
}

static void drop_ins_override_the_unit_and_the_administrator_wins(void **state)
{
    (void)state;
    static const struct edit edits[] = {
        { "/usr/lib/systemd/system/weir.service.d/90.conf", "LimitNOFILE=1\n" },
        { "/etc/systemd/system/weir.service.d/10.conf", "LimitNOFILE=2\n" },
        { "/etc/systemd/system/weir.service.d/20.conf", "LimitNOFILE= 3 \n" },
        { "/etc/systemd/system/weir.service.d/30.txt", "LimitNOFILE=4\n" },
    };
    char value[16];
    for (size_t i = 0; i < 4; i++) apply(&edits[i]);
    assert_true(host_unit_setting(root, "weir.service", "LimitNOFILE", value, sizeof(value)));
    assert_string_equal(value, "3");
    apply(&(struct edit){ edits[2].path, "LimitNOFILE=\n" });
    assert_false(host_unit_setting(root, "weir.service", "LimitNOFILE", value, sizeof(value)));
    for (size_t i = 0; i < 4; i++) revert(&edits[i]);
}

static void a_group_ends_where_it_is_mounted(void **state)
{
    (void)state;
    struct host_cgroup g;
    assert_true(host_cgroup_find(root, "cpu", &g));
    assert_string_equal(g.path, "/sys/fs/cgroup/system.slice/weir.service");
    assert_true(host_cgroup_up(&g));
    assert_true(host_cgroup_up(&g));
    assert_string_equal(g.path, "/sys/fs/cgroup");
    assert_false(host_cgroup_up(&g));
}

static void a_group_outside_of_its_mount_is_not_followed(void **state)
{
    (void)state;
    struct edit edit = { "/proc/self/cgroup", "0::/../../../etc\n" };
    struct host_cgroup g;
    apply(&edit);
    assert_true(host_cgroup_find(root, "cpu", &g));
    assert_string_equal(g.path, "/sys/fs/cgroup");
    revert(&edit);
}

static void a_container_sees_its_group_below_the_mount(void **state)
{
    (void)state;
    static const struct edit edits[] = {
        { "/proc/self/cgroup", "0::/docker/abc/inner\n" },
        { "/proc/self/mountinfo", "31 23 0:28 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n" },
    };
    struct host_cgroup g;
    apply(&edits[0]);
    apply(&edits[1]);
    assert_true(host_cgroup_find(root, "memory", &g));
    assert_string_equal(g.path, "/sys/fs/cgroup/inner");
    revert(&edits[0]);
    revert(&edits[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fact_gets_its_verdict),
        cmocka_unit_test(each_check_has_a_row_for_ok),
        cmocka_unit_test(what_cannot_be_read_is_never_ok),
        cmocka_unit_test(every_finding_says_why_and_a_bad_one_how_to_mend_it),
        cmocka_unit_test(landlock_is_judged_by_its_version),
        cmocka_unit_test(disks_are_judged_by_room_and_inodes),
        cmocka_unit_test(certificates_are_judged_by_their_days),
        cmocka_unit_test(many_bad_certificates_are_counted),
        cmocka_unit_test(sources_are_judged_by_their_answers),
        cmocka_unit_test(the_clock_is_free_synchronized_or_not_known),
        cmocka_unit_test(the_worst_comes_first_and_groups_stay_together),
        cmocka_unit_test(hostile_files_steer_no_terminal_and_no_shell),
        cmocka_unit_test(a_pipe_in_place_of_a_file_does_not_wait),
        cmocka_unit_test(a_long_file_is_cut),
        cmocka_unit_test(many_interfaces_fit_in_the_report),
        cmocka_unit_test(drop_ins_override_the_unit_and_the_administrator_wins),
        cmocka_unit_test(a_group_ends_where_it_is_mounted),
        cmocka_unit_test(a_group_outside_of_its_mount_is_not_followed),
        cmocka_unit_test(a_container_sees_its_group_below_the_mount),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
