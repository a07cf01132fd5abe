#include <inttypes.h>
#include <string.h>

#include "host/host_cgroup.h"
#include "host/host_rule.h"

#define MEMINFO "/proc/meminfo"
#define THP "/sys/kernel/mm/transparent_hugepage"

static bool read_meminfo(struct host_exam *e, const char *first, const char *second, uint64_t *a, uint64_t *b)
{
    char text[8192];
    if (!exam_text(e, MEMINFO, text, sizeof(text))) return false;
    if (host_value_u64(text, first, a) && host_value_u64(text, second, b)) {
        *a <<= 10, *b <<= 10;
        return true;
    }
    exam_say(e, HOST_NOTE, "not known: " MEMINFO " lacks %s or %s", first, second);
    return false;
}

static void check_available(struct host_exam *e)
{
    uint64_t total, available;
    char all[32], room[32];
    if (!read_meminfo(e, "MemTotal", "MemAvailable", &total, &available)) return;
    double share = total ? 100.0 * (double)available / (double)total : 0;
    enum host_verdict verdict = share < 4 ? HOST_FAIL : share < 10 ? HOST_WARN : HOST_OK;
    exam_say(e, verdict, "%s of %s are free or can be freed", exam_bytes(available, room),
             exam_bytes(total, all));
    if (verdict != HOST_OK) exam_mend(e, "ps -eo pid,rss,comm --sort=-rss | head");
}

struct group_memory {
    uint64_t limit, used; /* of the tightest; limit 0: none */
    uint64_t kills;
};

static bool read_group_number(const char *root, const struct host_cgroup *g, const char *file, uint64_t *out)
{
    char text[64] = "value ";
    return host_cgroup_read(root, g, file, text + 6, sizeof(text) - 6) && host_value_u64(text, "value", out);
}

static void add_group(const char *root, const struct host_cgroup *g, struct group_memory *m)
{
    char text[2048];
    uint64_t limit, used, kills;
    if (host_cgroup_read(root, g, g->is_v2 ? "memory.events" : "memory.oom_control", text, sizeof(text)) &&
        host_value_u64(text, "oom_kill", &kills) && kills > m->kills)
        m->kills = kills;
    if (!read_group_number(root, g, g->is_v2 ? "memory.max" : "memory.limit_in_bytes", &limit) ||
        limit > INT64_MAX / 2 || (m->limit && limit >= m->limit))
        return;
    if (!read_group_number(root, g, g->is_v2 ? "memory.current" : "memory.usage_in_bytes", &used)) used = 0;
    m->limit = limit;
    m->used = used;
}

static void say_group(struct host_exam *e, const struct group_memory *m)
{
    char limit[32], used[32];
    double share = m->limit ? 100.0 * (double)m->used / (double)m->limit : 0;
    enum host_verdict verdict = m->kills || share > 90 ? HOST_WARN : HOST_OK;
    if (m->limit)
        exam_say(e, verdict, "%s of %s are used; %" PRIu64 " processes were killed for want of memory",
                 exam_bytes(m->used, used), exam_bytes(m->limit, limit), m->kills);
    else
        exam_say(e, verdict, "no limit; %" PRIu64 " processes were killed for want of memory", m->kills);
    if (verdict == HOST_OK) return;
    if (m->limit)
        exam_mend(e, "systemctl set-property weir.service MemoryMax=%" PRIu64 "M", (2 * m->limit) >> 20);
    else
        exam_mend(e, "journalctl -k -g 'out of memory|oom-kill'");
}

static void check_group(struct host_exam *e)
{
    struct host_cgroup g;
    struct group_memory memory = { 0 };
    if (!host_cgroup_find(e->facts->root, "memory", &g)) {
        exam_say(e, HOST_NOTE, "not known: no control group for memory is to be seen");
        return;
    }
    do add_group(e->facts->root, &g, &memory);
    while (host_cgroup_up(&g));
    say_group(e, &memory);
}

static void check_swap(struct host_exam *e)
{
    uint64_t total, left, swappiness;
    char used[32], all[32];
    if (!read_meminfo(e, "SwapTotal", "SwapFree", &total, &left)) return;
    if (!total) {
        exam_say(e, HOST_OK, "no swap");
        return;
    }
    if (!exam_number(e, "/proc/sys/vm/swappiness", &swappiness)) return;
    if (left > total) left = total;
    bool is_much = total - left > total / 2;
    enum host_verdict verdict = is_much ? HOST_WARN : swappiness > 10 ? HOST_NOTE : HOST_OK;
    exam_say(e, verdict, "%s of %s swap are used, vm.swappiness is %" PRIu64, exam_bytes(total - left, used),
             exam_bytes(total, all), swappiness);
    if (verdict != HOST_OK) exam_mend(e, "sysctl -w vm.swappiness=1");
}

static void check_huge_pages(struct host_exam *e)
{
    char enabled[128], defrag[128];
    if (!exam_text(e, THP "/enabled", enabled, sizeof(enabled))) return;
    if (!strstr(enabled, "[always]")) {
        exam_say(e, strchr(enabled, '[') ? HOST_OK : HOST_NOTE, "transparent huge pages: %s", enabled);
        return;
    }
    bool stalls = host_read(e->facts->root, THP "/defrag", defrag, sizeof(defrag)) >= 0 &&
                  strstr(defrag, "[always]");
    exam_say(e, stalls ? HOST_WARN : HOST_NOTE, "transparent huge pages for everything%s",
             stalls ? ", and a page fault waits until memory is defragmented" : "");
    exam_mend(e, "echo madvise > " THP "/%s", stalls ? "defrag" : "enabled");
}

static void check_pressure(struct host_exam *e)
{
    struct exam_pressure p;
    if (!exam_pressure(e, "/proc/pressure/memory", &p)) return;
    exam_say(e,
             p.full > 10  ? HOST_FAIL
             : p.some > 5 ? HOST_WARN
             : p.some > 1 ? HOST_NOTE
                          : HOST_OK,
             "a thread waited for memory in %.0f %% of the last minute, all of them in %.0f %%", p.some,
             p.full);
    if (p.some > 1 || p.full > 10) exam_mend(e, "ps -eo pid,rss,comm --sort=-rss | head");
}

static const struct host_rule rules[] = {
    { "memory", "Without any left the kernel stalls every allocation, sockets included, and then kills.",
      check_available },
    { "memory_group",
      "At its limit a control group first stalls and then loses a process: weir, most likely. "
      "`limits: {memory}` keeps weir below it.",
      check_group },
    { "swap", "A worker that waits for a page from disk lets all of its connections wait.", check_swap },
    { "huge_pages",
      "Huge pages under sparse buffers make a process larger than what it uses, and faults longer.",
      check_huge_pages },
    { "pressure_memory", "Time in which threads waited for memory to be reclaimed or read back.",
      check_pressure },
    { 0 },
};

const struct host_rule_group host_rule_memory = { "memory", rules };
