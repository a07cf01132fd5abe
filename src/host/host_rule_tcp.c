#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "host/host_rule.h"

#define BUFFER_FEW (1u << 20)
#define BUFFER_MUCH (64u << 20)

static void check_slow_start(struct host_exam *e)
{
    uint64_t is_on;
    if (!exam_number(e, "/proc/sys/net/ipv4/tcp_slow_start_after_idle", &is_on)) return;
    exam_say(e, is_on ? HOST_NOTE : HOST_OK, "a connection that was idle %s",
             is_on ? "begins slowly anew" : "goes on as fast as it was");
    if (is_on) exam_mend(e, "sysctl -w net.ipv4.tcp_slow_start_after_idle=0");
}

static void check_congestion(struct host_exam *e)
{
    static const char *const good[] = { "cubic", "bbr", "bbr2", "bbr3", "dctcp" };
    char name[64];
    bool is_good = false;
    if (!exam_text(e, "/proc/sys/net/ipv4/tcp_congestion_control", name, sizeof(name))) return;
    for (uint32_t i = 0; i < sizeof(good) / sizeof(*good); i++) is_good |= strcmp(name, good[i]) == 0;
    exam_say(e, is_good ? HOST_OK : HOST_NOTE, "%s", name);
    if (!is_good) exam_mend(e, "sysctl -w net.ipv4.tcp_congestion_control=cubic");
}

static void check_buffer(struct host_exam *e, const char *path, const char *mend)
{
    uint64_t sizes[3]; /* tcp(7): least, preset, most; bytes */
    char most[32], preset[32];
    if (!exam_numbers(e, path, sizes, 3)) return;
    bool is_small = sizes[2]<BUFFER_FEW, is_large = sizes[2]> BUFFER_MUCH;
    exam_say(e,
             is_small   ? HOST_WARN
             : is_large ? HOST_NOTE
                        : HOST_OK,
             "%s to begin with, %s at most for a connection%s", exam_bytes(sizes[1], preset),
             exam_bytes(sizes[2], most), is_large ? ": a few thousand slow peers could take all memory" : "");
    if (is_small || is_large) exam_mend(e, "%s", mend);
}

static void check_rmem(struct host_exam *e)
{
    check_buffer(e, "/proc/sys/net/ipv4/tcp_rmem", "sysctl -w net.ipv4.tcp_rmem='4096 131072 6291456'");
}

static void check_wmem(struct host_exam *e)
{
    check_buffer(e, "/proc/sys/net/ipv4/tcp_wmem", "sysctl -w net.ipv4.tcp_wmem='4096 16384 4194304'");
}

static bool read_total(struct host_exam *e, uint64_t *bytes)
{
    char text[8192];
    if (!exam_text(e, "/proc/meminfo", text, sizeof(text))) return false;
    if (!host_value_u64(text, "MemTotal", bytes)) {
        exam_say(e, HOST_NOTE, "not known: /proc/meminfo has no MemTotal");
        return false;
    }
    *bytes <<= 10;
    return true;
}

/* "TCP: inuse 5 orphan 0 tw 3 alloc 10 mem 2" of /proc/net/sockstat; pages. */
static bool read_used(struct host_exam *e, uint64_t *pages)
{
    char text[4096];
    if (!exam_text(e, "/proc/net/sockstat", text, sizeof(text))) return false;
    const char *tcp = host_value(text, "TCP"), *mem = tcp ? strstr(tcp, " mem ") : NULL;
    if (mem && host_value_u64(mem + 1, "mem", pages)) return true;
    exam_say(e, HOST_NOTE, "not known: /proc/net/sockstat does not say what TCP uses");
    return false;
}

static void mend_tcp_mem(struct host_exam *e, uint64_t total_pages)
{
    exam_mend(e, "sysctl -w net.ipv4.tcp_mem='%" PRIu64 " %" PRIu64 " %" PRIu64 "'", total_pages / 16,
              total_pages / 12, total_pages / 8);
}

static void check_tcp_mem(struct host_exam *e)
{
    uint64_t limits[3], total, used; /* tcp(7): low, pressure, high; pages */
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    char most[32], now[32];
    if (!exam_numbers(e, "/proc/sys/net/ipv4/tcp_mem", limits, 3) || !read_total(e, &total) ||
        !read_used(e, &used))
        return;
    uint64_t high = limits[2], pages = total / page;
    enum host_verdict verdict = used >= high                             ? HOST_FAIL
                                : used >= limits[1] || high < pages / 64 ? HOST_WARN
                                : high > pages / 2                       ? HOST_NOTE
                                                                         : HOST_OK;
    exam_bytes(used * page, now);
    exam_bytes(high * page, most);
    exam_say(e, verdict, "%s in use for TCP, %s at most, %.0f %% of the memory%s", now, most,
             pages ? 100.0 * (double)high / (double)pages : 0.0,
             used >= limits[1] ? "; under pressure now" : "");
    if (verdict != HOST_OK) mend_tcp_mem(e, pages);
}

static const struct host_rule rules[] = {
    { "slow_start_after_idle",
      "Connections that are kept alive are idle between requests, and slow after each pause.",
      check_slow_start },
    { "congestion_control", "It decides how fast large responses are over long and lossy paths.",
      check_congestion },
    { "tcp_rmem", "What one connection may receive ahead: bounds uploads over long paths, and memory.",
      check_rmem },
    { "tcp_wmem", "What one connection may have under way: bounds downloads over long paths, and memory.",
      check_wmem },
    { "tcp_mem",
      "Above its pressure mark TCP shrinks windows, at its limit it drops data, of all connections.",
      check_tcp_mem },
    { 0 },
};

const struct host_rule_group host_rule_tcp = { "TCP", rules };
