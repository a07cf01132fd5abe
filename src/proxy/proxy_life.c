#include "proxy/proxy_life.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "auth/verified.h"
#include "base/bug.h"
#include "base/count.h"
#include "conf/arena.h"
#include "files/file_readers.h"
#include "proxy/change.h"
#include "proxy/client_table.h"
#include "proxy/denials.h"
#include "proxy/proxy_conf.h"
#include "proxy/site.h"
#include "proxy/worker_life.h"
#include "record/access_log.h"
#include "record/span_export.h"
#include "route/route_conf.h"
#include "tls/challenges.h"
#include "tls/store.h"
#include "tls/tickets.h"

#define SERIES_MAX 200000

static double read_live(void *context, size_t offset)
{
    const struct proxy *p = context;
    double sum = 0;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        if (!p->workers || !p->workers[i]) continue;
        sum += count_get((const uint32_t *)(const void *)((const char *)&p->workers[i]->live + offset));
    }
    return sum;
}

#define LIVE_READER(name)                                              \
    static double read_##name(void *context)                           \
    {                                                                  \
        return read_live(context, offsetof(struct worker_live, name)); \
    }
LIVE_READER(exchanges)
LIVE_READER(tunnels)
LIVE_READER(client_connections)
LIVE_READER(server_connections)
LIVE_READER(idle_server_connections)

static double read_memory(void *context)
{
    const struct proxy *p = context;
    return (double)atomic_load_explicit(&p->budget.used, memory_order_relaxed);
}

static double read_log_dropped(void *context)
{
    const struct proxy *p = context;
    return p->access_log ? (double)access_log_dropped(p->access_log) : 0;
}

static double read_log_repeated(void *context)
{
    const struct proxy *p = context;
    return p->access_log ? (double)access_log_repeated(p->access_log) : 0;
}

static double read_log_reached(void *context)
{
    const struct proxy *p = context;
    return p->access_log && access_log_is_reached(p->access_log);
}

static double read_uncounted(void *context)
{
    const struct proxy *p = context;
    return (double)client_table_uncounted(p->clients);
}

static double read_refused_series(void *context)
{
    const struct proxy *p = context;
    return (double)metric_refused(p->metrics);
}

static double read_bugs(void *context)
{
    return (double)bug_count((enum bug_place)(uintptr_t)context);
}

/* All places from the start: a series that is not there says nothing. */
static void add_bugs(struct metric_registry *m)
{
    for (uintptr_t i = 0; i < BUG_PLACE_COUNT; i++) {
        struct metric_label label = { "place", bug_place_name((enum bug_place)i) };
        metric_counter_fn(
            m, "weir_bug_total",
            "States that cannot be, met and survived. Each is a fault of weir: please report it, with its "
            "line in the log.",
            &label, 1, read_bugs, (void *)i); // NOLINT(performance-no-int-to-ptr)
    }
}

/* Asked on the control thread, whose the site is. */
static double read_first_end(void *context)
{
    const struct proxy *p = context;
    const struct listener_conf *l = p->site ? p->site->conf->listeners.data : NULL;
    int64_t first = INT64_MAX;
    for (uint32_t i = 0; l && i < p->site->conf->listeners.count; i++) {
        struct tls_store *store = l[i].tls ? tls_slot_get(l[i].tls->slot) : NULL;
        for (uint32_t k = 0; store && k < tls_store_count(store); k++)
            if (tls_store_certificate(store, k) && tls_store_certificate(store, k)->not_after < first)
                first = tls_store_certificate(store, k)->not_after;
        tls_store_put(store);
    }
    return first == INT64_MAX ? 0 : (double)first;
}

/* Likewise. */
static double read_maintenance(void *context)
{
    const struct proxy *p = context;
    const struct listener_conf *l = p->site ? p->site->conf->listeners.data : NULL;
    uint32_t count = 0;
    for (uint32_t i = 0; l && i < p->site->conf->listeners.count; i++) {
        const struct route_conf *r = l[i].routes.data;
        count += l[i].maintenance && l[i].maintenance->enabled;
        for (uint32_t k = 0; k < l[i].routes.count; k++)
            count += r[k].maintenance && r[k].maintenance->enabled;
    }
    return count;
}

/* Of an access log that goes to a socket. */
static void add_log_metrics(struct proxy *p)
{
    metric_gauge_fn(p->metrics, "weir_access_log_reached", "1: the access log's syslog or journald is there.",
                    NULL, 0, read_log_reached, p);
    metric_counter_fn(p->metrics, "weir_access_log_repeated_total",
                      "Access-log lines that were sent once more because a connection broke.", NULL, 0,
                      read_log_repeated, p);
}

static void add_gauges(struct proxy *p)
{
    struct metric_registry *m = p->metrics;
    metric_gauge_fn(m, "weir_exchanges_live", "Exchanges going on.", NULL, 0, read_exchanges, p);
    metric_gauge_fn(m, "weir_tunnels_live", "Tunnels open.", NULL, 0, read_tunnels, p);
    metric_gauge_fn(m, "weir_client_connections", "Client connections open.", NULL, 0,
                    read_client_connections, p);
    metric_gauge_fn(m, "weir_server_connections", "Connections to servers, idle ones included.", NULL, 0,
                    read_server_connections, p);
    metric_gauge_fn(m, "weir_idle_server_connections", "Idle connections to servers.", NULL, 0,
                    read_idle_server_connections, p);
    metric_gauge_fn(
        m, "weir_tls_certificate_end_timestamp_seconds",
        "When the first of the listeners' certificates ends, in seconds since 1970; 0: there is none.", NULL,
        0, read_first_end, p);
    metric_gauge_fn(m, "weir_maintenance", "Listeners and routes that are out for maintenance.", NULL, 0,
                    read_maintenance, p);
    metric_gauge_fn(m, "weir_memory_bytes", "Memory drawn on the budget (limits: memory).", NULL, 0,
                    read_memory, p);
    overload_show_metrics(p);
    metric_counter_fn(m, "weir_access_log_dropped_total", "Access-log lines that were not written.", NULL, 0,
                      read_log_dropped, p);
    metric_counter_fn(m, "weir_clients_uncounted_total",
                      "Connections let in uncounted by connections_per_client.", NULL, 0, read_uncounted, p);
    metric_counter_fn(m, "weir_series_refused_total", "Series that were refused because there are too many.",
                      NULL, 0, read_refused_series, p);
}

/* Places that nobody comes to cost no memory. */
#define PASSWORDS_KEPT 8192u
#define TOKENS_KEPT 16384u

static int open_verified(struct proxy *p, struct rng *rng)
{
    p->verified = verified_new(PASSWORDS_KEPT);
    p->tokens = verified_new(TOKENS_KEPT);
    p->salt = rng_next(rng);
    return p->verified && p->tokens ? 0 : -1;
}

/* What is in the spans beside the exchanges. */
struct span_origin {
    struct span_source source; /* first */
    char host[HOST_NAME_MAX + 1];
};

static int open_spans(struct proxy *p, const struct tracing_conf *conf, struct err *err)
{
    struct span_origin *o = calloc(1, sizeof(*o));
    if (!o) return err_set(err, "out of memory for tracing");
    gethostname(o->host, sizeof(o->host) - 1);
    o->source = (struct span_source){ .service = conf->service,
                                      .version = WEIR_VERSION,
                                      .host = o->host,
                                      .pid = (int)getpid(),
                                      .names = { proxy_name_of, p } };
    p->span_source = &o->source;
    if (metric_keep_exemplars(p->metrics, err) < 0) return -1;
    return span_export_open(&p->spans, conf, p->span_source, p->worker_count, p->metrics, err);
}

static int build(struct proxy *p, const struct proxy_options *o, struct err *err)
{
    struct proxy_change first;
    struct rng rng;
    if (metric_registry_new(&p->metrics, p->worker_count, SERIES_MAX, err) < 0) return -1;
    if (names_init(&p->names, err) < 0) return -1;
    p->pool_env = (struct pool_env){ &p->names, p->metrics, p->worker_count };
    p->workers = calloc(p->worker_count, sizeof(struct worker *));
    p->clients = client_table_new(p->connection_limit);
    rng_seed_random(&rng);
    p->denials = denials_new(rng_next(&rng));
    if (!p->workers || !p->clients || !p->denials || open_verified(p, &rng) < 0)
        return err_set(err, "out of memory at start");
    if (proxy_prepare_change(&first, p, o->conf, o->arena, err) < 0) return -1;
    proxy_commit_change(&first, NULL);
    add_gauges(p);
    add_bugs(p->metrics);
    p->challenges = tls_challenges_new();
    if (!p->challenges) return err_set(err, "out of memory at start");
    if (tls_tickets_new(&p->tickets, err) < 0) return -1;
    if (p->is_detached) return 0;
    if (o->conf->tracing && open_spans(p, o->conf->tracing, err) < 0) return -1;
    if (!o->conf->access_log) return 0;
    p->access_log = access_log_open(o->conf->access_log, p->worker_count, err);
    if (!p->access_log) return -1;
    if (!o->conf->access_log->path) add_log_metrics(p);
    return 0;
}

static int make(struct proxy **out, const struct proxy_options *o, bool is_detached, struct err *err)
{
    struct proxy *p = calloc(1, sizeof(*p));
    if (!p) return err_set(err, "out of memory at start");
    p->worker_count = o->worker_count;
    p->connection_limit = o->connection_limit;
    p->descriptor_limit = o->descriptor_limit;
    p->file_limit = o->file_limit;
    p->udp_session_limit = o->udp_session_limit;
    p->budget.limit = o->memory_limit;
    p->is_detached = is_detached;
    p->given = o->given;
    p->finder = o->finder;
    p->started_wall_ns = clock_wall_ns();
    p->resolver_conf = &o->conf->resolver;
    p->first_arena = conf_arena_get(o->arena);
    list_init(&p->sockets);
    list_init(&p->old_sockets);
    list_init(&p->older);
    list_init(&p->rate_books);
    retirement_init(&p->retirement);
    if (build(p, o, err) < 0) {
        proxy_free(p);
        return -1;
    }
    *out = p;
    return 0;
}

int proxy_new(struct proxy **out, const struct proxy_options *o, struct err *err)
{
    return make(out, o, false, err);
}

int proxy_new_detached(struct proxy **out, const struct proxy_conf *conf, struct err *err)
{
    struct proxy_options o = {
        .conf = conf, .worker_count = 1, .connection_limit = 1024, .memory_limit = 64 << 20
    };
    return make(out, &o, true, err);
}

int proxy_prepare(struct proxy *p, struct mailbox *control, void (*on_evidence)(void *, const struct mail *),
                  struct err *err)
{
    p->control = control;
    p->on_evidence = on_evidence;
    if (file_readers_new(&p->file_readers, p->metrics, err) < 0) return -1;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        if (worker_new(&p->workers[i], p, i, err) < 0) return -1;
    }
    return 0;
}

int proxy_start(struct proxy *p, struct err *err)
{
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (worker_start(p->workers[i], err) < 0) return -1;
    return 0;
}

void proxy_stop(struct proxy *p)
{
    if (!p) return;
    for (uint32_t i = 0; p->workers && i < p->worker_count; i++) {
        if (!p->workers[i]) continue;
        if (p->workers[i]->has_thread) worker_stop(p->workers[i]);
        worker_join(p->workers[i]);
    }
    file_readers_stop(p->file_readers);
}

void proxy_free(struct proxy *p)
{
    if (!p) return;
    proxy_stop(p);
    for (uint32_t i = 0; p->workers && i < p->worker_count; i++)
        if (p->workers[i]) worker_leave_site(p->workers[i]);
    access_log_close(p->access_log);
    span_export_close(p->spans);
    free(p->span_source);
    proxy_end_site(p);
    retirement_fini(&p->retirement);
    for (uint32_t i = 0; p->workers && i < p->worker_count; i++) worker_free(p->workers[i]);
    file_readers_free(p->file_readers);
    metric_registry_free(p->metrics);
    client_table_free(p->clients);
    denials_free(p->denials);
    verified_free(p->verified);
    verified_free(p->tokens);
    free(p->pools);
    free(p->workers);
    free(p->listeners);
    conf_arena_free(p->first_arena);
    tls_tickets_put(p->tickets);
    tls_challenges_free(p->challenges);
    names_fini(&p->names);
    free(p);
}
