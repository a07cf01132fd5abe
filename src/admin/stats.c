#include <math.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "admin/latency.h"
#include "admin/routes.h"
#include "admin/upgrader.h"
#include "base/count.h"
#include "net/loop.h"
#include "proxy/listener.h"
#include "proxy/worker.h"
#include "record/access_log.h"
#include "self/descriptors.h"
#include "self/landlock.h"
#include "self/privileges.h"
#include "self/system_calls.h"

struct live_answer {
    uint64_t exchanges, tunnels, client_connections, server_connections, idle_server_connections, blocks,
        timers;
};

struct memory_answer {
    uint64_t used, limit;
};

struct descriptors_answer {
    uint64_t open, limit;
};

struct totals_answer {
    uint64_t connections, requests, bytes_in, bytes_out;
    struct shape_list ends, refused; /* struct shape_count */
};

struct listener_latency {
    const char *listener;
    struct latency latency;
};

struct log_answer {
    const char *to;
    bool reached;
    uint64_t written_bytes, dropped, repeated;
};

struct drain_answer {
    double since_seconds, left_seconds;
    uint64_t exchanges, tunnels, client_connections;
    struct shape_list listeners; /* struct shape_count */
};

struct privileges_answer {
    uint64_t user_id, group_id;
    bool may_gain;
    const char *capabilities;
    bool seccomp, landlock;
};

struct stats_answer {
    const char *version;
    double uptime_seconds;
    uint64_t workers;
    bool draining;
    struct drain_answer drain;
    struct shape_list predecessors; /* struct predecessor */
    struct live_answer live;
    struct memory_answer memory;
    struct descriptors_answer descriptors;
    struct privileges_answer privileges;
    struct totals_answer totals;
    struct shape_list latency; /* struct listener_latency */
    struct log_answer access_log;
};

static const struct shape_field live_fields[] = {
    SHAPE_ROW(live_answer, exchanges, COUNT, "Exchanges going on."),
    SHAPE_ROW(live_answer, tunnels, COUNT, "Tunnels open."),
    SHAPE_ROW(live_answer, client_connections, COUNT, "Client connections open."),
    SHAPE_ROW(live_answer, server_connections, COUNT, "Connections to servers, idle ones included."),
    SHAPE_ROW(live_answer, idle_server_connections, COUNT, "Idle connections to servers."),
    SHAPE_ROW(live_answer, blocks, COUNT, "Blocks of memory in use for bytes."),
    SHAPE_ROW(live_answer, timers, COUNT, "Timers armed."),
    { 0 },
};
static const struct shape live_shape = { "Live", sizeof(struct live_answer), live_fields };

static const struct shape_field memory_fields[] = {
    SHAPE_ROW(memory_answer, used, COUNT, "Bytes drawn on the budget."),
    SHAPE_ROW(memory_answer, limit, COUNT, "The budget (limits: memory)."),
    { 0 },
};
static const struct shape memory_shape = { "Memory", sizeof(struct memory_answer), memory_fields };

static const struct shape_field descriptors_fields[] = {
    SHAPE_ROW(descriptors_answer, open, COUNT, "File descriptors open.", .may_be_null = true),
    SHAPE_ROW(descriptors_answer, limit, COUNT, "How many may be."),
    { 0 },
};
static const struct shape descriptors_shape = { "Descriptors", sizeof(struct descriptors_answer),
                                                descriptors_fields };

static const struct shape_field totals_fields[] = {
    SHAPE_ROW(totals_answer, connections, COUNT, "Client connections let in since the start."),
    SHAPE_ROW(totals_answer, requests, COUNT, "Exchanges and tunnels that have ended."),
    SHAPE_ROW(totals_answer, bytes_in, COUNT, "Bytes taken from clients."),
    SHAPE_ROW(totals_answer, bytes_out, COUNT, "Bytes given to clients."),
    SHAPE_ROW(totals_answer, ends, COUNTS,
              "Exchanges and tunnels by how they ended; reasons that never came are left out."),
    SHAPE_ROW(totals_answer, refused, COUNTS, "Client connections closed at once, by reason."),
    { 0 },
};
static const struct shape totals_shape = { "Totals", sizeof(struct totals_answer), totals_fields };

static const struct shape_field listener_latency_fields[] = {
    SHAPE_ROW(listener_latency, listener, STRING, "The listener's name."),
    { "count", SHAPE_COUNT, offsetof(struct listener_latency, latency.count),
      .help = "How many were measured." },
    { "p50_ms", SHAPE_NUMBER, offsetof(struct listener_latency, latency.p50_ms), .help = NULL,
      .may_be_null = true },
    { "p90_ms", SHAPE_NUMBER, offsetof(struct listener_latency, latency.p90_ms), .help = NULL,
      .may_be_null = true },
    { "p99_ms", SHAPE_NUMBER, offsetof(struct listener_latency, latency.p99_ms), .help = NULL,
      .may_be_null = true },
    { "p999_ms", SHAPE_NUMBER, offsetof(struct listener_latency, latency.p999_ms), .help = NULL,
      .may_be_null = true },
    { 0 },
};
static const struct shape listener_latency_shape = { "ListenerLatency", sizeof(struct listener_latency),
                                                     listener_latency_fields };

static const struct shape_field drain_fields[] = {
    SHAPE_ROW(drain_answer, since_seconds, NUMBER, "For how long; null: weir does not drain.",
              .may_be_null = true),
    SHAPE_ROW(drain_answer, left_seconds, NUMBER, "How much longer it may take at most.",
              .may_be_null = true),
    SHAPE_ROW(drain_answer, exchanges, COUNT, "Exchanges that are left."),
    SHAPE_ROW(drain_answer, tunnels, COUNT, "Tunnels that are left."),
    SHAPE_ROW(drain_answer, client_connections, COUNT, "Client connections that are left."),
    SHAPE_ROW(drain_answer, listeners, COUNTS, "Of each listener, how many of these."),
    { 0 },
};
static const struct shape drain_shape = { "Drain", sizeof(struct drain_answer), drain_fields };

static const struct shape_field log_fields[] = {
    SHAPE_ROW(log_answer, to, STRING, "Where lines go; null: there is no access log.", .may_be_null = true),
    SHAPE_ROW(log_answer, reached, BOOL, "False: to a socket, and nobody is there."),
    SHAPE_ROW(log_answer, written_bytes, COUNT, "Bytes written."),
    SHAPE_ROW(log_answer, dropped, COUNT, "Lines that were not."),
    SHAPE_ROW(log_answer, repeated, COUNT, "Lines that were sent once more because a connection broke."),
    { 0 },
};
static const struct shape log_shape = { "AccessLog", sizeof(struct log_answer), log_fields };

static const struct shape_field privileges_fields[] = {
    SHAPE_ROW(privileges_answer, user_id, COUNT, "As which user it runs."),
    SHAPE_ROW(privileges_answer, group_id, COUNT, "As which group."),
    SHAPE_ROW(privileges_answer, may_gain, BOOL,
              "Programs that it starts, a newer weir, may have more rights than it."),
    SHAPE_ROW(privileges_answer, capabilities, STRING,
              "What it has of root's rights, as capabilities(7) names them; `none`."),
    SHAPE_ROW(privileges_answer, seccomp, BOOL, "System calls are filtered, as the kernel says it."),
    SHAPE_ROW(privileges_answer, landlock, BOOL,
              "It has given up changing files in folders of the system (`hardening: {landlock}`)."),
    { 0 },
};
static const struct shape privileges_shape = { "Privileges", sizeof(struct privileges_answer),
                                               privileges_fields };

static const struct shape_field stats_fields[] = {
    SHAPE_ROW(stats_answer, version, STRING, "weir's version."),
    SHAPE_ROW(stats_answer, uptime_seconds, NUMBER, "Since the start."),
    SHAPE_ROW(stats_answer, workers, COUNT, "Threads that carry traffic."),
    SHAPE_ROW(stats_answer, draining, BOOL, "weir was told to stop, or another process has taken over."),
    SHAPE_ROW(stats_answer, drain, OBJECT, NULL, .of = &drain_shape),
    SHAPE_ROW(stats_answer, predecessors, LIST,
              "Processes that this one took over from and that still drain.", .of = &predecessor_shape),
    SHAPE_ROW(stats_answer, live, OBJECT, NULL, .of = &live_shape),
    SHAPE_ROW(stats_answer, memory, OBJECT, NULL, .of = &memory_shape),
    SHAPE_ROW(stats_answer, descriptors, OBJECT, NULL, .of = &descriptors_shape),
    SHAPE_ROW(stats_answer, privileges, OBJECT, NULL, .of = &privileges_shape),
    SHAPE_ROW(stats_answer, totals, OBJECT, NULL, .of = &totals_shape),
    SHAPE_ROW(stats_answer, latency, LIST,
              "From a request's first byte to its response's last, for each listener.",
              .of = &listener_latency_shape),
    SHAPE_ROW(stats_answer, access_log, OBJECT, NULL, .of = &log_shape),
    { 0 },
};

const struct shape stats_shape = { "Stats", sizeof(struct stats_answer), stats_fields };

static struct live_answer count_live(const struct proxy *p)
{
    struct live_answer sum = { 0 };
    for (uint32_t i = 0; i < p->worker_count; i++) {
        const struct worker *w = p->workers[i];
        if (!w) continue;
        sum.exchanges += count_get(&w->live.exchanges);
        sum.tunnels += count_get(&w->live.tunnels);
        sum.client_connections += count_get(&w->live.client_connections);
        sum.server_connections += count_get(&w->live.server_connections);
        sum.idle_server_connections += count_get(&w->live.idle_server_connections);
        sum.blocks += count_get(&w->loop.blocks.live);
        sum.timers += count_get(&w->loop.timers.count);
    }
    return sum;
}

static struct descriptors_answer descriptors(void)
{
    struct rlimit limit = { 0 };
    double open = descriptors_open();
    getrlimit(RLIMIT_NOFILE, &limit);
    return (struct descriptors_answer){ .open = isnan(open) ? SHAPE_NULL : (uint64_t)open,
                                        .limit = limit.rlim_cur };
}

/* Over all listeners; those that are not zero. */
static struct shape_list count_reasons(const struct proxy *p, size_t meters,
                                       struct shape_count counts[END_REASON_COUNT])
{
    uint32_t count = 0;
    for (unsigned i = 1; i < END_REASON_COUNT; i++) {
        uint64_t sum = 0;
        for (uint32_t k = 0; k < p->listener_count; k++) {
            const uint32_t *ids = (const uint32_t *)(const void *)((const char *)p->listeners[k] + meters);
            if (ids[i] != METRIC_NONE) sum += metric_sum(p->metrics, ids[i]);
        }
        if (sum) counts[count++] = (struct shape_count){ end_reason_info((enum end_reason)i)->name, sum };
    }
    return (struct shape_list){ counts, count };
}

static void add_totals(const struct proxy *p, struct totals_answer *t)
{
    const struct shape_count *ends = t->ends.data;
    for (uint32_t i = 0; i < t->ends.count; i++) t->requests += ends[i].count;
    for (uint32_t i = 0; i < p->listener_count; i++) {
        const struct listener *l = p->listeners[i];
        t->connections += metric_sum(p->metrics, l->meter_accepted);
        t->bytes_in += metric_sum(p->metrics, l->meter_bytes_in);
        t->bytes_out += metric_sum(p->metrics, l->meter_bytes_out);
    }
}

static struct privileges_answer privileges_of(struct text *capabilities)
{
    struct privileges p;
    privileges_read(&p);
    privileges_print(p.capabilities, capabilities);
    return (struct privileges_answer){ p.user,
                                       p.group,
                                       p.may_gain,
                                       text_cstr(capabilities),
                                       system_calls_are_filtered(),
                                       landlock_is_in_force() };
}

static double uptime_seconds(const struct admin_request *rq)
{
    uint64_t now = loop_wall_ns(rq->loop);
    uint64_t since = now > rq->proxy->started_wall_ns ? now - rq->proxy->started_wall_ns : 0;
    return floor((double)since / 1e6) / 1e3;
}

/* To the millisecond. */
static double seconds(uint64_t ns)
{
    return floor((double)ns / 1e6) / 1e3;
}

static struct drain_answer drain_of(const struct admin_request *rq, const struct live_answer *live,
                                    struct shape_count *listeners)
{
    const struct proxy *p = rq->proxy;
    uint64_t now = rq->loop->now_ns;
    struct drain_answer d = { .since_seconds = NAN, .left_seconds = NAN };
    if (!atomic_load(&p->is_draining)) return d;
    d = (struct drain_answer){ seconds(now - p->drain_since_ns),
                               now < p->drain_until_ns ? seconds(p->drain_until_ns - now) : 0,
                               live->exchanges,
                               live->tunnels,
                               live->client_connections,
                               { listeners, p->listener_count } };
    for (uint32_t i = 0; i < p->listener_count; i++)
        listeners[i] = (struct shape_count){ p->listeners[i]->name,
                                             atomic_load(&p->listeners[i]->connections) };
    return d;
}

void stats_show(const struct admin_request *rq, struct answer *out)
{
    const struct proxy *p = rq->proxy;
    struct shape_count ends[END_REASON_COUNT];
    struct shape_count refused[END_REASON_COUNT];
    struct predecessor predecessors[PREDECESSORS_MAX];
    char room[1024];
    struct text capabilities = text_over(room, sizeof(room));
    struct listener_latency *latency = calloc(p->listener_count + 1, sizeof(*latency));
    struct shape_count *left = calloc(p->listener_count + 1, sizeof(*left));
    if (!latency || !left) {
        free(left);
        free(latency);
        answer_problem(out, 503, "There is no memory for the answer; try again.");
        return;
    }
    for (uint32_t i = 0; i < p->listener_count; i++) {
        latency[i].listener = p->listeners[i]->name;
        latency[i].latency = latency_of(p->metrics, p->listeners[i]->meter_seconds);
    }
    struct stats_answer a = {
        .version = WEIR_VERSION,
        .uptime_seconds = uptime_seconds(rq),
        .workers = p->worker_count,
        .draining = atomic_load(&p->is_draining),
        .live = count_live(p),
        .memory = { atomic_load_explicit(&p->budget.used, memory_order_relaxed), p->budget.limit },
        .descriptors = descriptors(),
        .privileges = privileges_of(&capabilities),
        .totals = { .ends = count_reasons(p, offsetof(struct listener, meter_ends), ends),
                    .refused = count_reasons(p, offsetof(struct listener, meter_refused), refused) },
        .latency = { latency, p->listener_count },
    };
    a.drain = drain_of(rq, &a.live, left);
    a.predecessors.data = predecessors;
    if (rq->upgrader) a.predecessors.count = rq->upgrader->predecessors(rq->upgrader, predecessors);
    add_totals(p, &a.totals);
    if (p->access_log)
        a.access_log = (struct log_answer){ .to = access_log_name(p->access_log),
                                            .reached = access_log_is_reached(p->access_log),
                                            .written_bytes = access_log_written_bytes(p->access_log),
                                            .dropped = access_log_dropped(p->access_log),
                                            .repeated = access_log_repeated(p->access_log) };
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    shape_print(&stats_shape, &a, &j);
    answer_json(out, 200, &j);
    free(left);
    free(latency);
}
