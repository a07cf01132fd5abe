#include "pool/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "base/text.h"
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

void server_set_caps(struct server *s, uint32_t exchanges, uint32_t connections,
                     const struct concurrency_conf *adaptive)
{
    concurrency_set(&s->concurrency, adaptive, &s->peer, exchanges);
    atomic_store(&s->connection_cap, connections);
}

static double most_requests(void *server)
{
    return atomic_load_explicit(&((struct server *)server)->peer.cap, memory_order_relaxed);
}

static double is_up(void *server)
{
    enum server_shown shown = server_shown(server);
    return shown == SERVER_SHOWN_UP || shown == SERVER_SHOWN_WARMING;
}

static double in_flight(void *server)
{
    return atomic_load_explicit(&((struct server *)server)->peer.in_flight, memory_order_relaxed);
}

static double open_connections(void *server)
{
    return atomic_load_explicit(&((struct server *)server)->peer.open_connections, memory_order_relaxed);
}

static void add_meters(struct server *s, struct metric_registry *metrics)
{
    struct metric_label labels[] = { { "pool", s->pool->name }, { "server", s->name }, { "class", NULL } };
    s->meter_attempts = metric_counter(metrics, "weir_server_attempts_total", "Attempts at a server.", labels,
                                       2);
    s->meter_failures = metric_counter(metrics, "weir_server_failures_total",
                                       "Attempts that failed at a server.", labels, 2);
    s->meter_connects = metric_counter(metrics, "weir_server_connects_total",
                                       "Connections begun to a server.", labels, 2);
    s->meter_reuses = metric_counter(metrics, "weir_server_reuses_total",
                                     "Attempts on a connection that had been used before.", labels, 2);
    static const char *const classes[] = { NULL, "1xx", "2xx", "3xx", "4xx", "5xx" };
    for (unsigned i = 1; i < 6; i++) { /* there is none without a status */
        labels[2].value = classes[i];
        s->meter_classes[i] = metric_counter_rare(metrics, "weir_server_responses_total",
                                                  "Responses of a server, by the class of their status.",
                                                  labels, 3);
    }
    s->meter_latency = metric_histogram(
        metrics, "weir_server_first_byte_seconds",
        "From an attempt's start to the first byte of its response, or until that of another "
        "server was taken (retry: hedge).",
        labels, 2);
    (void)metric_gauge_fn(metrics, "weir_server_up",
                          "1 while a server is up or warming up; 0 while it is down, ejected, draining or in "
                          "maintenance.",
                          labels, 2, is_up, s);
    (void)metric_gauge_fn(metrics, "weir_server_requests_limit",
                          "How many exchanges may be at a server at a time now; 0: no cap.", labels, 2,
                          most_requests, s);
    (void)metric_gauge_fn(metrics, "weir_server_in_flight", "Exchanges that a server is at.", labels, 2,
                          in_flight, s);
    (void)metric_gauge_fn(metrics, "weir_server_open_connections",
                          "Connections open to a server, idle ones included.", labels, 2, open_connections,
                          s);
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

/* False: out of memory. */
static bool keep_names(struct server *s, struct names *names, const struct server_conf *conf)
{
    if (conf->tls_name) s->tls_name = names_of(names, names_intern(names, conf->tls_name));
    if (conf->host) s->host = names_of(names, names_intern(names, conf->host));
    return !conf->tls_name == !s->tls_name && !conf->host == !s->host;
}

static int refuse(const struct pool *p, const struct pool_env *env, const char *name, struct err *err)
{
    if (env->names->count >= NAMES_MAX - env->names_reserve)
        return err_set(
            err,
            "there is no room for the name of server \"%s\" of pool \"%s\": %u names have come and gone, and "
            "the others are for configurations; start weir anew (an upgrade with `weir upgrade` does)",
            name, p->name, env->names->count - 1);
    return err_set(err, "out of memory for server \"%s\" of pool \"%s\"", name, p->name);
}

int server_new(struct server **out, struct pool *p, const struct pool_env *env,
               const struct server_conf *conf, struct err *err)
{
    struct server *s = allocate(env->worker_count);
    uint32_t id = s ? names_intern_before(env->names, conf->name, env->names_reserve) : 0;
    bool is_named = id && keep_names(s, env->names, conf);
    if (!is_named) {
        if (s) free(s->workers);
        free(s);
        return refuse(p, env, conf->name, err);
    }
    s->pool = p;
    s->id = id;
    s->name = names_of(env->names, id);
    s->address = conf->address;
    pthread_mutex_init(&s->words_lock, NULL);
    s->name_hash = hash_name(s->name);
    address_print(&s->address, s->address_text);
    s->conf_weight = conf->weight;
    atomic_init(&s->weight, conf->weight);
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
    pthread_mutex_destroy(&s->words_lock);
    free(s->latency);
    free(s->workers);
    free(s);
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

void server_note_tls_failure(struct server *s, const char *words)
{
    pthread_mutex_lock(&s->words_lock);
    struct text t = text_over(s->tls_failure, sizeof(s->tls_failure));
    text_add_slice(&t, slice_of(words));
    text_cstr(&t);
    pthread_mutex_unlock(&s->words_lock);
}

bool server_tls_failure(struct server *s, char out[SERVER_TLS_FAILURE_MAX])
{
    pthread_mutex_lock(&s->words_lock);
    memcpy(out, s->tls_failure, sizeof(s->tls_failure));
    pthread_mutex_unlock(&s->words_lock);
    return out[0];
}

void server_said_idle(struct server *s, uint32_t timeout_s)
{
    uint32_t ms = timeout_s < 4000000 ? timeout_s * 1000 : UINT32_MAX;
    if (atomic_load_explicit(&s->said_idle_ms, memory_order_relaxed) != ms)
        atomic_store_explicit(&s->said_idle_ms, ms, memory_order_relaxed);
}
