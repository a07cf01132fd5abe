#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host/host_rule.h"

#define QUEUE_WANTED 4096u /* the kernel's own preset since 5.4 */
#define QUEUE_FEW 1024u
#define NETSTAT_MAX (32u << 10)

#define SOMAXCONN "/proc/sys/net/core/somaxconn"
#define SYNCOOKIES "/proc/sys/net/ipv4/tcp_syncookies"

static void check_somaxconn(struct host_exam *e)
{
    uint64_t queue;
    if (!exam_number(e, SOMAXCONN, &queue)) return;
    enum host_verdict verdict = queue < QUEUE_FEW ? HOST_WARN : queue < QUEUE_WANTED ? HOST_NOTE : HOST_OK;
    exam_say(e, verdict, "a listening socket keeps at most %" PRIu64 " connections until they are accepted",
             queue);
    if (verdict != HOST_OK) exam_mend(e, "sysctl -w net.core.somaxconn=%u", QUEUE_WANTED);
}

static void check_syn_backlog(struct host_exam *e)
{
    uint64_t backlog, queue, cookies;
    if (!exam_number(e, "/proc/sys/net/ipv4/tcp_max_syn_backlog", &backlog) ||
        !exam_number(e, SOMAXCONN, &queue) || !exam_number(e, SYNCOOKIES, &cookies))
        return;
    if (backlog >= queue) {
        exam_say(e, HOST_OK,
                 "%" PRIu64 " half-open connections, no fewer than net.core.somaxconn (%" PRIu64 ")", backlog,
                 queue);
        return;
    }
    exam_say(e, cookies ? HOST_NOTE : HOST_WARN,
             "%" PRIu64 " half-open connections, fewer than net.core.somaxconn (%" PRIu64 ")%s", backlog,
             queue,
             cookies ? "; SYN cookies make up for it" : ", and without SYN cookies the others are dropped");
    exam_mend(e, "sysctl -w net.ipv4.tcp_max_syn_backlog=%" PRIu64, queue);
}

static void check_syncookies(struct host_exam *e)
{
    uint64_t cookies;
    if (!exam_number(e, SYNCOOKIES, &cookies)) return;
    static const char *const meanings[] = { "off", "sent when the queue is full",
                                            "sent always, which costs TCP options" };
    exam_say(e,
             cookies == 0   ? HOST_WARN
             : cookies == 1 ? HOST_OK
                            : HOST_NOTE,
             "SYN cookies are %s", meanings[cookies < 2 ? cookies : 2]);
    if (cookies != 1) exam_mend(e, "sysctl -w net.ipv4.tcp_syncookies=1");
}

static void check_abort(struct host_exam *e)
{
    uint64_t abort;
    if (!exam_number(e, "/proc/sys/net/ipv4/tcp_abort_on_overflow", &abort)) return;
    exam_say(e, abort ? HOST_WARN : HOST_OK, "a connection that finds the queue full is %s",
             abort ? "reset" : "left to try again");
    if (abort) exam_mend(e, "sysctl -w net.ipv4.tcp_abort_on_overflow=0");
}

/* /proc/net/netstat: a line of names and a line of values below it, both begin with the group. */
static bool find_counter(char *text, const char *group, const char *name, uint64_t *out)
{
    char *rest = text, *names = NULL, *values = NULL, *key, *value;
    size_t len = strlen(group);
    while ((names = strsep(&rest, "\n")) && strncmp(names, group, len) != 0) {}
    values = names ? strsep(&rest, "\n") : NULL;
    if (!values || strncmp(values, group, len) != 0) return false;
    while ((key = strsep(&names, " ")) && (value = strsep(&values, " "))) {
        if (strcmp(key, name) != 0) continue;
        *out = strtoull(value, NULL, 10);
        return true;
    }
    return false;
}

static bool read_counter(struct host_exam *e, const char *name, uint64_t *out)
{
    char text[NETSTAT_MAX];
    if (!exam_text(e, "/proc/net/netstat", text, sizeof(text))) return false;
    if (find_counter(text, "TcpExt:", name, out)) return true;
    exam_say(e, HOST_NOTE, "not known: /proc/net/netstat counts no %s", name);
    return false;
}

static void check_overflows(struct host_exam *e)
{
    uint64_t overflows, drops;
    if (!read_counter(e, "ListenOverflows", &overflows) || !read_counter(e, "ListenDrops", &drops)) return;
    if (!drops && !overflows) {
        exam_say(e, HOST_OK, "no connection was dropped on its way in since the host started");
        return;
    }
    exam_say(e, overflows ? HOST_WARN : HOST_NOTE,
             "%" PRIu64 " connections were dropped on their way in since the host started, %" PRIu64
             " as a queue was full (of any program here)",
             drops > overflows ? drops : overflows, overflows);
    if (overflows) exam_mend(e, "ss -ltnp");
}

static const struct host_rule rules[] = {
    { "somaxconn",
      "weir asks for as long a queue as it can get; in a burst, or while workers are busy, what finds no "
      "room must "
      "connect again after a second or more.",
      check_somaxconn },
    { "syn_backlog", "Handshakes that are not complete wait here, in a flood of SYNs many of them.",
      check_syn_backlog },
    { "syncookies", "With them a flood of SYNs does not keep out real clients.", check_syncookies },
    { "abort_on_overflow", "Clients take a reset for an error; what is left alone is tried again by itself.",
      check_abort },
    { "listen_overflows",
      "Each of them is a client that waited for a second or more, or gave up. A program whose Recv-Q is near "
      "its Send-Q "
      "accepts too slowly, or asked for too short a queue.",
      check_overflows },
    { 0 },
};

const struct host_rule_group host_rule_accept = { "accepting connections", rules };
