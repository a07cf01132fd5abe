#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/host_cgroup.h"
#include "host/host_rule.h"

#define CORES_MAX 512u
#define CPU_DIRECTORY "/sys/devices/system/cpu"
#define CLOCK_DIRECTORY "/sys/devices/system/clocksource/clocksource0"
/* In percent of the periods in which the group ran. */
#define THROTTLED_MUCH 1.0

static void check_cores(struct host_exam *e)
{
    char online[1024];
    if (!exam_text(e, CPU_DIRECTORY "/online", online, sizeof(online))) return;
    uint32_t allowed = exam_cores(e), there = exam_count_list(online);
    uint32_t workers = e->facts->plan ? e->facts->plan->workers : 0;
    if (!there) {
        exam_say(e, HOST_NOTE, "not known: " CPU_DIRECTORY "/online is no list of cores");
        return;
    }
    if (workers > allowed) {
        exam_say(e, HOST_WARN, "%u cores to run on, but `workers: %u`: they take turns", allowed, workers);
        return;
    }
    exam_say(e, allowed < there ? HOST_NOTE : HOST_OK, "%u of %u cores to run on%s", allowed, there,
             allowed < there ? ": the affinity of whoever starts weir keeps it off the others" : "");
    if (allowed < there) exam_mend(e, "taskset -pc $$");
}

/* Cores' worth of time that the group may use, 0 if it has no limit. */
static double read_quota(const char *root, const struct host_cgroup *g)
{
    char text[64], period[64];
    double quota, length;
    if (g->is_v2)
        return host_cgroup_read(root, g, "cpu.max", text, sizeof(text)) &&
                       sscanf(text, "%lf %lf", &quota, &length) == 2 && length > 0
                   ? quota / length
                   : 0;
    if (!host_cgroup_read(root, g, "cpu.cfs_quota_us", text, sizeof(text)) ||
        !host_cgroup_read(root, g, "cpu.cfs_period_us", period, sizeof(period)))
        return 0;
    quota = strtod(text, NULL), length = strtod(period, NULL); /* -1: none */
    return quota > 0 && length > 0 ? quota / length : 0;
}

static double read_throttled(const char *root, const struct host_cgroup *g)
{
    char text[2048];
    uint64_t periods, throttled;
    if (!host_cgroup_read(root, g, "cpu.stat", text, sizeof(text)) ||
        !host_value_u64(text, "nr_periods", &periods) || !host_value_u64(text, "nr_throttled", &throttled) ||
        !periods)
        return 0;
    return 100.0 * (double)throttled / (double)periods;
}

static void say_quota(struct host_exam *e, double quota, double throttled)
{
    uint32_t cores = exam_cores(e);
    bool is_short = quota > 0 && quota<cores, is_throttled = throttled> THROTTLED_MUCH;
    if (quota <= 0)
        exam_say(e, HOST_OK, "no limit of processor time");
    else
        exam_say(e, is_short || is_throttled ? HOST_WARN : HOST_OK,
                 "%.2f cores' worth of time for %u cores; held back in %.1f %% of the periods", quota, cores,
                 throttled);
    if (is_short || is_throttled) exam_mend(e, "systemctl set-property weir.service CPUQuota=");
}

static void check_quota(struct host_exam *e)
{
    struct host_cgroup g;
    double tightest = 0, throttled = 0;
    if (!host_cgroup_find(e->facts->root, "cpu", &g)) {
        exam_say(e, HOST_NOTE, "not known: no control group for cpu is to be seen");
        return;
    }
    do {
        double quota = read_quota(e->facts->root, &g), share = read_throttled(e->facts->root, &g);
        if (quota > 0 && (tightest <= 0 || quota < tightest)) tightest = quota;
        if (share > throttled) throttled = share;
    } while (host_cgroup_up(&g));
    say_quota(e, tightest, throttled);
}

static bool is_core(const char *name)
{
    return strncmp(name, "cpu", 3) == 0 && isdigit((unsigned char)name[3]);
}

/* What a core's governor is worth. powersave of a driver that lets the processor choose is no slow one. */
static enum host_verdict judge_governor(const char *governor, const char *driver)
{
    if (strcmp(governor, "performance") == 0 || strcmp(governor, "schedutil") == 0) return HOST_OK;
    bool is_automatic = strncmp(driver, "intel_pstate", 12) == 0 || strncmp(driver, "amd-pstate", 10) == 0;
    return strcmp(governor, "powersave") == 0 && !is_automatic ? HOST_WARN : HOST_NOTE;
}

static void check_governor(struct host_exam *e)
{
    struct host_entry cores[CORES_MAX];
    char path[HOST_PATH_MAX], governor[32], driver[32], worst[32] = "";
    enum host_verdict verdict = HOST_OK;
    uint32_t seen = 0;
    int count = host_names(e->facts->root, CPU_DIRECTORY, is_core, cores, CORES_MAX);
    for (int i = 0; i < count; i++) {
        host_path(path, CPU_DIRECTORY, cores[i].name, "cpufreq/scaling_governor");
        if (host_read(e->facts->root, path, governor, sizeof(governor)) < 0) continue;
        host_path(path, CPU_DIRECTORY, cores[i].name, "cpufreq/scaling_driver");
        if (host_read(e->facts->root, path, driver, sizeof(driver)) < 0) *driver = 0;
        enum host_verdict one = judge_governor(governor, driver);
        if (!seen++ || one > verdict) memcpy(worst, governor, sizeof(worst));
        if (one > verdict) verdict = one;
    }
    if (count <= 0)
        exam_say(e, HOST_NOTE, "not known: " CPU_DIRECTORY " shows no cores");
    else if (!seen)
        exam_say(e, HOST_OK,
                 "the kernel does not set the frequency here (a virtual machine, or firmware does)");
    else
        exam_say(e, verdict, "%s, %s%u cores", worst, verdict == HOST_OK ? "" : "the worst of ", seen);
    if (verdict != HOST_OK) exam_mend(e, "cpupower frequency-set -g performance");
}

static enum host_verdict judge_clock(const char *name)
{
    static const char *const slow[] = { "hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit" };
    static const char *const good[] = {
        "tsc",      "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page",
        "timebase", "tod",       "riscv_clocksource"
    };
    for (uint32_t i = 0; i < sizeof(slow) / sizeof(*slow); i++)
        if (strcmp(name, slow[i]) == 0) return HOST_WARN;
    for (uint32_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (strcmp(name, good[i]) == 0) return HOST_OK;
    return HOST_NOTE;
}

static void check_clock(struct host_exam *e)
{
    char name[64], others[256];
    if (!exam_text(e, CLOCK_DIRECTORY "/current_clocksource", name, sizeof(name))) return;
    enum host_verdict verdict = judge_clock(name);
    exam_say(e, verdict, "%s%s", name,
             verdict == HOST_WARN   ? ", which needs a system call and slow hardware"
             : verdict == HOST_NOTE ? ", which may need a system call"
                                    : "");
    if (verdict == HOST_OK) return;
    bool has_tsc = host_read(e->facts->root, CLOCK_DIRECTORY "/available_clocksource", others,
                             sizeof(others)) >= 0 &&
                   strncmp(others, "tsc", 3) == 0;
    exam_mend(e, has_tsc ? "echo tsc > " CLOCK_DIRECTORY "/current_clocksource"
                         : "dmesg | grep -i -e tsc -e clocksource");
}

static void check_time(struct host_exam *e)
{
    static const enum host_verdict verdicts[] = { HOST_NOTE, HOST_WARN, HOST_OK };
    static const char *const meanings[] = { "not known: the kernel does not say (or it is another host's)",
                                            "nothing keeps the clock right", "the clock is synchronized" };
    exam_say(e, verdicts[e->facts->clock], "%s", meanings[e->facts->clock]);
    if (e->facts->clock == HOST_CLOCK_FREE) exam_mend(e, "timedatectl set-ntp true");
}

static void check_load(struct host_exam *e)
{
    static const char path[] = "/proc/loadavg";
    char text[128];
    double load[3];
    if (!exam_text(e, path, text, sizeof(text))) return;
    if (sscanf(text, "%lf %lf %lf", &load[0], &load[1], &load[2]) != 3) {
        exam_say(e, HOST_NOTE, "not known: %s does not hold what belongs there", path);
        return;
    }
    uint32_t cores = exam_cores(e);
    exam_say(e,
             load[1] > 2.0 * cores ? HOST_WARN
             : load[1] > cores     ? HOST_NOTE
                                   : HOST_OK,
             "%.2f threads wanted to run in the last minute, %.2f in the last five, on %u cores", load[0],
             load[1], cores);
    if (load[1] > cores) exam_mend(e, "ps -eo pid,pcpu,state,comm --sort=-pcpu | head");
}

static void check_pressure(struct host_exam *e)
{
    struct exam_pressure p;
    if (!exam_pressure(e, "/proc/pressure/cpu", &p)) return;
    exam_say(e,
             p.some > 50   ? HOST_WARN
             : p.some > 20 ? HOST_NOTE
                           : HOST_OK,
             "a thread waited for a core in %.0f %% of the last minute", p.some);
    if (p.some > 20) exam_mend(e, "ps -eo pid,pcpu,state,comm --sort=-pcpu | head");
}

static void check_kernel(struct host_exam *e)
{
    char release[128];
    unsigned major, minor;
    if (!exam_text(e, "/proc/sys/kernel/osrelease", release, sizeof(release))) return;
    if (sscanf(release, "%u.%u", &major, &minor) != 2 || major > 1000 || minor > 1000) {
        exam_say(e, HOST_NOTE, "not known: %s is no version", release);
        return;
    }
    unsigned version = 1000 * major + minor;
    exam_say(e, version < 4019 ? HOST_WARN : version < 5010 ? HOST_NOTE : HOST_OK, "Linux %s", release);
}

static const struct host_rule rules[] = {
    { "cores",
      "weir runs a worker on each core that it may use, unless `workers:` says otherwise. CPUAffinity= and "
      "AllowedCPUs= of "
      "a unit, taskset and containers take cores away.",
      check_cores },
    { "cpu_quota",
      "A group that has used up its quota stands still until the period ends: all workers at once, for up to "
      "100 ms.",
      check_quota },
    { "governor", "A core that has to speed up first adds to the latency of the first requests of a burst.",
      check_governor },
    { "clock_source", "weir reads the clock for each request; with a fast source that is no system call.",
      check_clock },
    { "time_sync", "Logs, certificates and sticky cookies are compared with those of other hosts.",
      check_time },
    { "load", "What waits for a core waits for milliseconds, which is more than weir takes for a request.",
      check_load },
    { "pressure_cpu", "Time in which something was ready to run and had no core.", check_pressure },
    { "kernel", "Older kernels lack what weir uses: pressure figures (4.20), CAP_PERFMON (5.8).",
      check_kernel },
    { 0 },
};

const struct host_rule_group host_rule_cpu = { "cores and time", rules };
