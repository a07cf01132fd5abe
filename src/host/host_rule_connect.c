#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/host_rule.h"

#define PORTS_FEW 16384u
#define PORTS_WANTED 50000u
#define PORTS_MOST 64512u /* without the privileged ones */
#define RESERVED_MAX (16u << 10)
#define RESERVED "/proc/sys/net/ipv4/ip_local_reserved_ports"
#define MORE_PORTS "sysctl -w net.ipv4.ip_local_port_range='10240 65535'"

struct port_range {
    uint32_t first, last;
};

/* The next of "8080,9000-9100"; false at the end, or at what is none. */
static bool next_range(const char **list, struct port_range *out)
{
    if (!isdigit((unsigned char)**list)) return false;
    char *end;
    unsigned long first = strtoul(*list, &end, 10), last = first;
    if (*end == '-') last = strtoul(end + 1, &end, 10);
    if (first > last || last > UINT16_MAX) return false;
    *out = (struct port_range){ (uint32_t)first, (uint32_t)last };
    *list = *end == ',' ? end + 1 : end;
    return true;
}

static uint32_t count_reserved(const char *list, struct port_range within)
{
    struct port_range r;
    uint32_t count = 0;
    while (next_range(&list, &r)) {
        uint32_t first = r.first > within.first ? r.first : within.first;
        uint32_t last = r.last < within.last ? r.last : within.last;
        if (first <= last) count += last - first + 1;
    }
    return count;
}

static bool is_reserved(const char *list, uint32_t port)
{
    return count_reserved(list, (struct port_range){ port, port }) > 0;
}

static bool read_range(struct host_exam *e, struct port_range *out)
{
    uint64_t ends[2];
    if (!exam_numbers(e, "/proc/sys/net/ipv4/ip_local_port_range", ends, 2)) return false;
    if (ends[0] <= ends[1] && ends[1] <= UINT16_MAX) {
        *out = (struct port_range){ (uint32_t)ends[0], (uint32_t)ends[1] };
        return true;
    }
    exam_say(e, HOST_NOTE, "not known: net.ipv4.ip_local_port_range holds no range");
    return false;
}

/* True if it said that the configuration needs more than `ports` for each address of a server. */
static bool say_too_few(struct host_exam *e, uint32_t ports)
{
    const struct host_plan *plan = e->facts->plan;
    if (!plan) return false;
    uint64_t most = (uint64_t)plan->pool_servers * ports;
    if (plan->server_connections > ports)
        exam_say(e, HOST_FAIL, "%u local ports: server %s cannot have its %u connections from one address",
                 ports, plan->server, plan->server_connections);
    else if (plan->pool_servers && plan->connections > most)
        exam_say(e, HOST_WARN,
                 "%u local ports: pool %s (servers: %u) can have %" PRIu64 " connections, weir may have %u",
                 ports, plan->pool, plan->pool_servers, most, plan->connections);
    else
        return false;
    if (ports < PORTS_MOST) exam_mend(e, "sysctl -w net.ipv4.ip_local_port_range='1024 65535'");
    return true;
}

static void check_range(struct host_exam *e)
{
    struct port_range range;
    char list[RESERVED_MAX];
    if (!read_range(e, &range)) return;
    uint32_t ports = range.last - range.first + 1;
    if (host_read(e->facts->root, RESERVED, list, sizeof(list)) > 0) {
        uint32_t reserved = count_reserved(list, range);
        ports = reserved < ports ? ports - reserved : 0;
    }
    if (say_too_few(e, ports)) return;
    enum host_verdict verdict = ports < PORTS_FEW ? HOST_WARN : ports < PORTS_WANTED ? HOST_NOTE : HOST_OK;
    exam_say(e, verdict, "%u local ports (%u to %u): as many connections at once to each address of a server",
             ports, range.first, range.last);
    if (verdict != HOST_OK) exam_mend(e, MORE_PORTS);
}

static uint32_t list_unreserved(const struct host_plan *plan, struct port_range range, const char *list,
                                char *out, size_t size)
{
    uint32_t count = 0;
    size_t len = 0;
    *out = 0;
    for (uint32_t i = 0; i < plan->port_count; i++) {
        uint32_t port = plan->ports[i];
        if (port < range.first || port > range.last || is_reserved(list, port)) continue;
        count++;
        if (len + 8 < size) len += (size_t)snprintf(out + len, size - len, "%s%u", len ? "," : "", port);
    }
    return count;
}

static void check_reserved(struct host_exam *e)
{
    struct port_range range;
    char list[RESERVED_MAX], missing[128];
    if (!read_range(e, &range) || !exam_text(e, RESERVED, list, sizeof(list))) return;
    if (!e->facts->plan) {
        exam_say(e, HOST_OK, "%u of the local ports are reserved (with --config: whether the listeners' are)",
                 count_reserved(list, range));
        return;
    }
    if (!list_unreserved(e->facts->plan, range, list, missing, sizeof(missing))) {
        exam_say(e, HOST_OK, "no listener's port is among those that connections to servers take");
        return;
    }
    exam_say(e, HOST_WARN, "listeners' ports that a connection to a server may take: %s", missing);
    bool is_list = strspn(list, "0123456789,-") == strlen(list) && strlen(list) < 128;
    if (is_list)
        exam_mend(e, "sysctl -w net.ipv4.ip_local_reserved_ports=%s%s%s", list, *list ? "," : "", missing);
}

static void check_tw_reuse(struct host_exam *e)
{
    uint64_t reuse;
    if (!exam_number(e, "/proc/sys/net/ipv4/tcp_tw_reuse", &reuse)) return;
    static const char *const meanings[] = { "not used again", "used again when they are safe",
                                            "used again on the loopback interface only" };
    exam_say(e,
             reuse == 1   ? HOST_OK
             : reuse == 0 ? HOST_WARN
                          : HOST_NOTE,
             "ports in TIME_WAIT are %s", meanings[reuse < 2 ? reuse : 2]);
    if (reuse != 1) exam_mend(e, "sysctl -w net.ipv4.tcp_tw_reuse=1");
}

static void check_fin_timeout(struct host_exam *e)
{
    uint64_t seconds;
    if (!exam_number(e, "/proc/sys/net/ipv4/tcp_fin_timeout", &seconds)) return;
    exam_say(e,
             seconds > 60  ? HOST_WARN
             : seconds < 5 ? HOST_NOTE
                           : HOST_OK,
             "a closed connection waits %" PRIu64 " s for the peer's FIN (FIN_WAIT2)", seconds);
    if (seconds > 60 || seconds < 5) exam_mend(e, "sysctl -w net.ipv4.tcp_fin_timeout=30");
}

static void check_keepalive(struct host_exam *e)
{
    uint64_t time, interval, probes;
    if (!exam_number(e, "/proc/sys/net/ipv4/tcp_keepalive_time", &time) ||
        !exam_number(e, "/proc/sys/net/ipv4/tcp_keepalive_intvl", &interval) ||
        !exam_number(e, "/proc/sys/net/ipv4/tcp_keepalive_probes", &probes))
        return;
    exam_say(e, time > 7200 ? HOST_NOTE : HOST_OK,
             "where a program asks for it, after %" PRIu64 " s, then %" PRIu64 " times every %" PRIu64 " s",
             time, probes, interval);
    if (time > 7200) exam_mend(e, "sysctl -w net.ipv4.tcp_keepalive_time=7200");
}

static void check_ipv6(struct host_exam *e)
{
    static const char path[] = "/proc/sys/net/ipv6/conf/all/disable_ipv6";
    uint64_t is_off = 0;
    bool is_needed = e->facts->plan && e->facts->plan->uses_ipv6;
    bool is_absent = host_read_numbers(e->facts->root, path, &is_off, 1) < 0 && errno == ENOENT &&
                     host_exists(e->facts->root, "/proc/sys/net/ipv4");
    if (!is_absent && !exam_number(e, path, &is_off)) return;
    if (!is_absent && !is_off) {
        exam_say(e, HOST_OK, "IPv6 is on");
        return;
    }
    exam_say(e, is_needed ? HOST_FAIL : HOST_NOTE, "IPv6 is %s%s",
             is_absent ? "not in this kernel" : "disabled",
             is_needed ? ", and the configuration has IPv6 addresses" : "");
    if (!is_absent) exam_mend(e, "sysctl -w net.ipv6.conf.all.disable_ipv6=0");
}

static const struct host_rule rules[] = {
    { "port_range",
      "Each connection to a server takes a local port, which counts for each address of a server; without "
      "one, connecting "
      "fails.",
      check_range },
    { "reserved_ports",
      "A connection to a server may take the port that a listener wants at the next start, unless it is "
      "reserved.",
      check_reserved },
    { "tw_reuse",
      "A port of a connection that weir closed is in TIME_WAIT for a minute; short connections use up ports.",
      check_tw_reuse },
    { "fin_timeout",
      "Closed connections whose peer is silent hold memory and a port until then (TIME_WAIT is not this).",
      check_fin_timeout },
    { "keepalive",
      "weir ends idle connections by time-outs of its own and asks for no probes; firewalls in between "
      "forget connections "
      "that are idle for longer.",
      check_keepalive },
    { "ipv6", "Listeners and servers with IPv6 addresses need it.", check_ipv6 },
    { 0 },
};

const struct host_rule_group host_rule_connect = { "connecting to servers", rules };
