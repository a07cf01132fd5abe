#include "pool/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/log.h"
#include "base/names.h"
#include "pool/pool_worker.h"

/* Until a server's patience is known, only connections younger than this carry what cannot be sent twice: the
 * shortest default among common servers is 5 s (Node, Apache, uvicorn), gunicorn's is 2 s. */
#define YOUNG_UNKNOWN_MS 1000
/* What was seen is believed less and less: doubled every so often. */
#define SEEN_DOUBLES_MS 30000

static uint64_t hash_name(const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (; *name; name++) h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return h;
}

void server_set_caps(struct server *s, uint32_t connections)
{
    atomic_store(&s->peer.cap, connections); /* one exchange on each */
    atomic_store(&s->connection_cap, connections);
}

static void add_meters(struct server *s, struct metric_registry *metrics)
{
    const struct metric_label labels[] = { { "pool", s->pool->name }, { "server", s->name } };
    s->meter_attempts = metric_counter(metrics, "weir_server_attempts_total", "Attempts at a server.", labels,
                                       2);
    s->meter_failures = metric_counter(metrics, "weir_server_failures_total",
                                       "Attempts that failed at a server.", labels, 2);
    s->meter_connects = metric_counter(metrics, "weir_server_connects_total",
                                       "Connections begun to a server.", labels, 2);
    s->meter_reuses = metric_counter(metrics, "weir_server_reuses_total",
                                     "Attempts on a connection that had been used before.", labels, 2);
    s->meter_latency = metric_histogram(metrics, "weir_server_first_byte_seconds",
                                        "From an attempt's start to the first byte of its response.", labels,
                                        2);
}

/* Each worker's part is on lines of its own. */
static struct server *allocate(uint32_t worker_count)
{
    struct server *s = aligned_alloc(64, sizeof(*s));
    struct server_worker *workers = aligned_alloc(64, worker_count * sizeof(*workers));
    if (!s || !workers) {
        free(s);
        free(workers);
        return NULL;
    }
    memset(s, 0, sizeof(*s));
    memset(workers, 0, worker_count * sizeof(*workers));
    s->workers = workers;
    return s;
}

int server_new(struct server **out, struct pool *p, const struct pool_env *env,
               const struct server_conf *conf, struct err *err)
{
    struct server *s = allocate(env->worker_count);
    uint32_t id = s ? names_intern(env->names, conf->name) : 0;
    if (!id) {
        if (s) free(s->workers);
        free(s);
        return err_set(err, "out of memory for server \"%s\" of pool \"%s\"", conf->name, p->name);
    }
    s->pool = p;
    s->id = id;
    s->name = names_of(env->names, id);
    s->address = conf->address;
    s->name_hash = hash_name(s->name);
    address_print(&s->address, s->address_text);
    s->conf_weight = conf->weight;
    atomic_init(&s->weight, conf->weight);
    server_set_caps(s, conf->max_connections);
    for (uint32_t i = 0; i < env->worker_count; i++) server_worker_init(&s->workers[i], s, p->workers[i]);
    metric_scope_open(env->metrics, &s->meters);
    add_meters(s, env->metrics);
    metric_scope_close(env->metrics, &s->meters);
    *out = s;
    return 0;
}

void server_free(struct server *s, struct metric_registry *metrics)
{
    metric_scope_retire(metrics, &s->meters);
    free(s->workers);
    free(s);
}

static const char *const admin_names[] = { "enabled", "drain", "maintenance" };

const char *server_admin_name(enum server_admin admin)
{
    return admin_names[admin];
}

const char *server_health_name(enum server_health health)
{
    static const char *const names[] = { "unknown", "up", "warming", "ejected", "down" };
    return names[health];
}

const char *server_health_reason_name(enum server_health_reason reason)
{
    static const char *const names[] = {
#define X(id, name) name,
        SERVER_HEALTH_REASONS(X)
#undef X
    };
    return names[reason];
}

const char *server_state_name(const struct server *s)
{
    enum server_admin admin = (enum server_admin)atomic_load(&s->admin);
    if (admin == SERVER_DRAIN) return "draining";
    if (admin == SERVER_MAINTENANCE) return "maintenance";
    enum server_health health = (enum server_health)atomic_load(&s->health);
    return health == SERVER_UNKNOWN ? "up" : server_health_name(health);
}

bool server_is_enabled(const struct server *s)
{
    return atomic_load(&s->admin) == SERVER_ENABLED;
}

bool server_is_healthy(const struct server *s)
{
    uint32_t health = atomic_load(&s->health);
    return health != SERVER_EJECTED && health != SERVER_DOWN;
}

bool server_is_usable(const struct server *s)
{
    return server_is_enabled(s) && server_is_healthy(s);
}

#define TO(health) (1u << SERVER_##health)

/* clang-format off */
static const uint32_t may_become[] = {
    [SERVER_UNKNOWN] = TO(UP) | TO(WARMING) | TO(EJECTED) | TO(DOWN),
    [SERVER_UP]      = TO(WARMING) | TO(EJECTED) | TO(DOWN),
    [SERVER_WARMING] = TO(UP) | TO(UNKNOWN) | TO(WARMING) | TO(EJECTED) | TO(DOWN),
    [SERVER_EJECTED] = TO(UP) | TO(UNKNOWN) | TO(WARMING) | TO(DOWN),
    [SERVER_DOWN]    = TO(UP) | TO(UNKNOWN) | TO(WARMING),
};
/* clang-format on */

void server_set_health(struct server *s, enum server_health to, enum server_health_reason reason,
                       uint64_t now_ms)
{
    enum server_health from = (enum server_health)atomic_load(&s->health);
    if (from == to && to != SERVER_WARMING) return;
    if (bug_if(SERVER, !(may_become[from] & (1u << to)))) return;
    s->health_reason = reason;
    s->health_since_ms = now_ms;
    atomic_store(&s->health, to);
    bool is_bad = to == SERVER_EJECTED || to == SERVER_DOWN;
    log_event(is_bad ? LOG_WARN : LOG_INFO, "server_state", "pool=%s server=%s state=%s was=%s reason=%s",
              s->pool->name, s->name, server_state_name(s), server_health_name(from),
              server_health_reason_name(reason));
}

static bool begin_warm_up(struct server *s, enum server_health_reason reason, uint64_t now_ms)
{
    if (!s->warmup_ms) return false;
    s->warm_since_ms = now_ms;
    s->warm_parts = SERVER_WARM_START;
    server_set_health(s, SERVER_WARMING, reason, now_ms);
    return true;
}

bool server_warm_up(struct server *s, uint64_t now_ms)
{
    if (atomic_load(&s->health) != SERVER_WARMING) return false;
    uint64_t passed_ms = now_ms - s->warm_since_ms;
    if (passed_ms >= s->warmup_ms)
        server_set_health(s, s->is_readmitted ? SERVER_UNKNOWN : SERVER_UP, SERVER_BY_WARMED_UP, now_ms);
    else
        s->warm_parts = SERVER_WARM_START +
                        (uint32_t)((SERVER_WARM_WHOLE - SERVER_WARM_START) * passed_ms / s->warmup_ms);
    return true;
}

uint32_t server_warm_parts(const struct server *s)
{
    if (atomic_load(&s->health) != SERVER_WARMING) return SERVER_WARM_WHOLE;
    return s->warm_parts ? s->warm_parts : SERVER_WARM_START;
}

void server_set_admin(struct server *s, enum server_admin admin, uint64_t now_ms)
{
    if (atomic_load(&s->admin) == admin) return;
    /* Before the word itself: whoever sees the drain must see its beginning. */
    atomic_store(&s->drain_since_ms, admin == SERVER_DRAIN ? now_ms : 0);
    atomic_store(&s->admin, admin);
    if (admin == SERVER_ENABLED && server_is_healthy(s)) begin_warm_up(s, SERVER_BY_ENABLED, now_ms);
}

static bool connected(struct server *s, uint64_t now_ms)
{
    uint32_t health = atomic_load(&s->health);
    bool is_back = s->is_readmitted || health == SERVER_EJECTED;
    s->failures = s->eject_ms = 0;
    s->is_readmitted = false;
    atomic_store(&s->has_failed, false);
    if (is_back && begin_warm_up(s, SERVER_BY_CONNECTED, now_ms)) return true;
    if (health != SERVER_WARMING) server_set_health(s, SERVER_UP, SERVER_BY_CONNECTED, now_ms);
    return health == SERVER_EJECTED;
}

bool server_report(struct server *s, enum server_evidence evidence, uint64_t now_ms)
{
    if (evidence == SERVER_CONNECTED) return connected(s, now_ms);
    s->failures = evidence == SERVER_SEEN_FAILING && s->failures < SERVER_EJECT_AFTER ? SERVER_EJECT_AFTER
                                                                                      : s->failures + 1;
    if (s->failures < SERVER_EJECT_AFTER || !server_is_healthy(s)) return false;
    s->eject_ms = s->eject_ms ? s->eject_ms * 2 : SERVER_EJECT_MIN_MS;
    if (s->eject_ms > SERVER_EJECT_MAX_MS) s->eject_ms = SERVER_EJECT_MAX_MS;
    s->ejected_until_ms = now_ms + s->eject_ms;
    bool is_by_log = evidence == SERVER_SEEN_FAILING;
    server_set_health(s, SERVER_EJECTED, is_by_log ? SERVER_BY_SEEN_FAILING : SERVER_BY_CONNECT_FAILURES,
                      now_ms);
    return true;
}

bool server_readmit(struct server *s, uint64_t now_ms)
{
    if (atomic_load(&s->health) != SERVER_EJECTED || now_ms < s->ejected_until_ms) return false;
    /* One more failure ejects it again, for longer. */
    s->failures = SERVER_EJECT_AFTER - 1;
    s->is_readmitted = true;
    /* Already now, lest a server of little weight is never tried: then it is whole again after that time. */
    if (!begin_warm_up(s, SERVER_BY_EJECTION_OVER, now_ms))
        server_set_health(s, SERVER_UNKNOWN, SERVER_BY_EJECTION_OVER, now_ms);
    return true;
}

uint64_t server_learned_idle_ms(const struct server *s, uint64_t now_ms)
{
    uint64_t said = atomic_load_explicit(&s->said_idle_ms, memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(&s->seen_idle_ms, memory_order_relaxed);
    uint64_t seen_at_ms = atomic_load_explicit(&s->seen_at_ms, memory_order_relaxed);
    if (seen) {
        /* Another worker saw it, whose clock may be a turn ahead of this one's. */
        uint64_t doublings = now_ms > seen_at_ms ? (now_ms - seen_at_ms) / SEEN_DOUBLES_MS : 0;
        seen = doublings < 20 ? seen << doublings : 0;
    }
    if (said && seen) return said < seen ? said : seen;
    return said ? said : seen;
}

uint32_t server_idle_limit_ms(const struct server *s, uint64_t conf_ms, uint64_t now_ms)
{
    uint64_t learned = server_learned_idle_ms(s, now_ms);
    uint64_t limit = learned * 3 / 4; /* may be 0: it closes at once */
    return (uint32_t)(learned && limit < conf_ms ? limit : conf_ms);
}

uint32_t server_young_limit_ms(const struct server *s, uint64_t conf_ms, uint64_t now_ms)
{
    uint64_t learned = server_learned_idle_ms(s, now_ms);
    uint64_t limit = learned ? learned / 2 : YOUNG_UNKNOWN_MS;
    return (uint32_t)(limit < conf_ms ? limit : conf_ms);
}

void server_saw_idle_close(struct server *s, uint64_t idle_ms, uint64_t now_ms)
{
    uint64_t known = server_learned_idle_ms(s, now_ms);
    if (known && idle_ms >= known) return;
    if (idle_ms > UINT32_MAX) return;
    atomic_store_explicit(&s->seen_idle_ms, idle_ms ? (uint32_t)idle_ms : 1, memory_order_relaxed);
    atomic_store_explicit(&s->seen_at_ms, now_ms, memory_order_relaxed);
}

void server_said_idle(struct server *s, uint32_t timeout_s)
{
    uint32_t ms = timeout_s < 4000000 ? timeout_s * 1000 : UINT32_MAX;
    if (atomic_load_explicit(&s->said_idle_ms, memory_order_relaxed) != ms)
        atomic_store_explicit(&s->said_idle_ms, ms, memory_order_relaxed);
}
