#include "pool/pool.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/count.h"
#include "base/log.h"
#include "base/names.h"
#include "pool/membership.h"
#include "pool/pool_worker.h"

#define WARM_STEPS 20
#define WARM_STEP_MIN_MS 250

/* One set by hand holds until the configuration's own changes. */
static uint32_t weight_in(const struct roster_place *place)
{
    const struct server *s = place->server;
    return place->conf->weight == s->conf_weight ? atomic_load(&s->weight) : place->conf->weight;
}

static struct membership_rules rules_of(const struct roster *r)
{
    const struct balance_method *method = r->conf->balance.option->object;
    return (struct membership_rules){ .overprovision = r->conf->tiers.overprovision,
                                      .panic = r->conf->tiers.panic,
                                      .spill = r->conf->zones ? r->conf->zones->spill : 0,
                                      .refuses_all = r->conf->when_all_down == POOL_FAIL,
                                      .keeps_out = method->keeps_out };
}

static struct membership_server standing_of(const struct roster_place *place)
{
    return (struct membership_server){ .weight = weight_in(place),
                                       .tier = place->tier,
                                       .warm = server_warm_parts(place->server),
                                       .is_local = place->is_local,
                                       .is_in_subset = place->is_in_subset,
                                       .is_enabled = server_is_enabled(place->server),
                                       .is_usable = server_is_usable(place->server) };
}

/* Who is in the set, and how it stands with each server. NULL when out of memory. */
static struct membership *compute(const struct roster *r, struct pool_change *c)
{
    struct membership_server *servers = calloc(r->count, sizeof(*servers));
    struct membership *members = calloc(r->count, sizeof(*members));
    const struct membership_rules rules = rules_of(r);
    for (uint32_t i = 0; servers && members && i < r->count; i++) servers[i] = standing_of(&r->places[i]);
    if (servers && members) {
        c->is_panic = membership_compute(&rules, servers, r->count, members);
        c->ignores_health = membership_panics(&rules, servers, r->count);
    } else {
        free(members);
        members = NULL;
    }
    free(servers);
    return members;
}

static int make_set(struct pool_change *c, struct err *err)
{
    c->members = compute(c->roster, c);
    if (!c->members) return err_set(err, "out of memory for the servers of pool \"%s\"", c->pool->name);
    if (peer_set_new(&c->set, c->roster, c->members, err) == 0) return 0;
    free(c->members);
    return -1;
}

static void note_panic(struct pool *p, const struct pool_change *c)
{
    if (c->ignores_health == p->ignores_health) return;
    p->ignores_health = c->ignores_health;
    p->panics += c->ignores_health;
    uint32_t healthy = 0;
    for (uint32_t i = 0; i < c->roster->count; i++) healthy += server_is_healthy(c->roster->places[i].server);
    log_event(c->ignores_health ? LOG_WARN : LOG_INFO, c->ignores_health ? "pool_panic" : "pool_panic_over",
              "pool=%s healthy=%u servers=%u", p->name, healthy, c->roster->count);
}

static void make_current(const struct pool_change *c)
{
    struct pool *p = c->pool;
    note_panic(p, c);
    p->set_weight = 0;
    for (uint32_t i = 0; i < c->roster->count; i++) {
        struct server *s = c->roster->places[i].server;
        const struct membership *m = &c->members[i];
        s->set_weight = m->weight;
        atomic_store_explicit(&s->peer.is_out, m->is_out, memory_order_relaxed);
        if (!m->is_out) p->set_weight += m->weight;
    }
    /* Ejection is a guess: rather try a server than refuse everybody. */
    c->set->is_panic = c->is_panic && p->set_weight > 0;
    peer_set_put(p->current);
    p->current = c->set;
    free(c->members);
}

int pool_rebuild(struct pool *p, struct err *err)
{
    struct pool_change same = { .pool = p, .roster = p->roster };
    if (make_set(&same, err) < 0) return -1;
    make_current(&same);
    return 0;
}

struct membership *pool_foresee(const struct pool *p, const struct server *s, const struct pool_word *word,
                                bool *is_panic)
{
    const struct roster *r = p->roster;
    struct membership_server *servers = calloc(r->count, sizeof(*servers));
    struct membership *members = calloc(r->count, sizeof(*members));
    const struct membership_rules rules = rules_of(r);
    for (uint32_t i = 0; servers && members && i < r->count; i++) {
        servers[i] = standing_of(&r->places[i]);
        if (r->places[i].server != s) continue;
        servers[i].weight = word->weight;
        servers[i].is_enabled = word->admin == SERVER_ENABLED;
        servers[i].is_usable = servers[i].is_enabled && server_is_healthy(s);
        servers[i].warm = MEMBERSHIP_WHOLE;
    }
    if (servers && members) {
        *is_panic = membership_compute(&rules, servers, r->count, members);
    } else {
        free(members);
        members = NULL;
    }
    free(servers);
    return members;
}

/* They stay once they are there: a pool without TLS shows none. */
static void add_tls_meters(struct pool *p, const struct pool_env *env, const struct pool_conf *conf)
{
    struct metric_label labels[] = { { "pool", p->name }, { "result", "full" } };
    const char *family = "weir_pool_tls_handshakes_total";
    const char *help =
        "TLS handshakes with servers, by how they went: full, resumed (by a session of an earlier one), or "
        "failed.";
    if (p->meter_tls_full || !(conf->tls || conf->egress_tls)) return;
    metric_scope_open(env->metrics, &p->meters);
    p->meter_tls_full = metric_counter(env->metrics, family, help, labels, 2);
    labels[1].value = "resumed";
    p->meter_tls_resumed = metric_counter(env->metrics, family, help, labels, 2);
    labels[1].value = "failed";
    p->meter_tls_failed = metric_counter(env->metrics, family, help, labels, 2);
    metric_scope_close(env->metrics, &p->meters);
}

int pool_prepare(struct pool_change *change, struct pool *p, const struct pool_env *env,
                 const struct pool_conf *conf, struct conf_arena *arena, struct err *err)
{
    *change = (struct pool_change){ .pool = p };
    add_tls_meters(p, env, conf);
    if (roster_new(&change->roster, p, env, conf, arena, err) < 0) return -1;
    if (make_set(change, err) == 0) return 0;
    roster_discard(change->roster, env);
    return -1;
}

void pool_discard(struct pool_change *change, const struct pool_env *env)
{
    peer_set_put(change->set);
    free(change->members);
    roster_discard(change->roster, env);
}

/* The shortest run that may eject. */
static uint32_t least_run(const struct ejection_conf *c)
{
    const uint32_t runs[] = { c->timeouts, c->gateway_errors, c->server_errors };
    uint32_t least = 0;
    for (unsigned i = 0; c->is_enabled && i < sizeof(runs) / sizeof(*runs); i++)
        if (runs[i] && (!least || runs[i] < least)) least = runs[i];
    return least;
}

static void set_caps(struct server *s, const struct server_conf *conf, const struct pool_conf *pool)
{
    uint32_t exchanges = conf->max_requests, connections = conf->max_connections;
    bool is_one_each = pool->protocol == POOL_HTTP1;
    if (is_one_each && connections && (!exchanges || exchanges > connections)) exchanges = connections;
    server_set_caps(s, exchanges, connections, pool->concurrency.adaptive);
}

void pool_commit(struct pool_change *change)
{
    struct pool *p = change->pool;
    struct roster *old = p->roster;
    for (uint32_t i = 0; old && i < old->count; i++) old->places[i].server->is_wanted = false;
    for (uint32_t i = 0; i < change->roster->count; i++) {
        const struct roster_place *place = &change->roster->places[i];
        struct server *s = place->server;
        atomic_store(&s->weight, weight_in(place));
        set_caps(s, place->conf, change->roster->conf);
        s->is_wanted = true;
        s->conf_weight = place->conf->weight;
        s->warmup_ms = change->roster->conf->warmup_ms;
        s->ejection = change->roster->conf->ejection;
        atomic_store_explicit(&s->run_told, least_run(&s->ejection), memory_order_relaxed);
    }
    /* Of one that is kept it must not be said for a moment: a worker that looks then closes its connections. */
    for (uint32_t i = 0; old && i < old->count; i++)
        if (!old->places[i].server->is_wanted) atomic_store(&old->places[i].server->is_retired, true);
    make_current(change);
    /* Whoever goes by it under this configuration says so with the next request; else nobody need look any more. */
    atomic_store_explicit(&p->latency.wanted, 0, memory_order_relaxed);
    p->roster = change->roster;
    roster_put(old);
}

static bool is_any_warming(const struct roster *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (atomic_load(&r->places[i].server->health) == SERVER_WARMING) return true;
    return false;
}

bool pool_warm_up(struct pool *p, uint64_t now_ms)
{
    const struct roster *r = p->roster;
    if (!r->conf->warmup_ms || now_ms < p->warm_next_ms || !is_any_warming(r)) return false;
    uint64_t step_ms = r->conf->warmup_ms / WARM_STEPS;
    p->warm_next_ms = now_ms + (step_ms > WARM_STEP_MIN_MS ? step_ms : WARM_STEP_MIN_MS);
    for (uint32_t i = 0; i < r->count; i++) (void)server_warm_up(r->places[i].server, now_ms);
    return true;
}

static double servers_shown(void *context)
{
    const struct pool_state_meter *m = context;
    uint32_t count = 0;
    for (uint32_t i = 0; m->pool->roster && i < m->pool->roster->count; i++)
        count += server_shown(m->pool->roster->places[i].server) == m->shown;
    return count;
}

static double number_of(void *context)
{
    return (double)*(const uint64_t *)context;
}

uint32_t pool_waiting(const struct pool *p)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (p->workers[i]) sum += count_get(&p->workers[i]->queue_length);
    return sum;
}

bool pool_serves_newest_first(const struct pool *p, const struct pool_conf *conf, uint64_t now_ns)
{
    uint64_t refused_ns = atomic_load_explicit(&p->refused_ns, memory_order_relaxed);
    return refused_ns && conf->queue.order == POOL_QUEUE_ADAPTIVE &&
           now_ns < refused_ns + conf->timeouts.queue_ms * NS_PER_MS;
}

static double waiting(void *pool)
{
    return pool_waiting(pool);
}

static double is_panicking(void *pool)
{
    return ((const struct pool *)pool)->ignores_health;
}

static void add_health_meters(struct pool *p, struct metric_registry *metrics)
{
    for (int i = 0; i < SERVER_SHOWN_COUNT; i++) {
        enum server_shown shown = (enum server_shown)i;
        const struct metric_label labels[] = { { "pool", p->name }, { "state", server_shown_name(shown) } };
        p->state_meters[i] = (struct pool_state_meter){ p, shown };
        (void)metric_gauge_fn(metrics, "weir_pool_servers", "Servers by their state.", labels, 2,
                              servers_shown, &p->state_meters[i]);
    }
    for (int i = 0; i < SERVER_HEALTH_REASON_COUNT; i++) {
        const char *reason = server_health_reason_name((enum server_health_reason)i);
        const struct metric_label labels[] = { { "pool", p->name }, { "reason", reason } };
        (void)metric_counter_fn(metrics, "weir_pool_health_changes_total",
                                "Changes of its servers' health, by reason.", labels, 2, number_of,
                                &p->health_changes[i]);
    }
    const struct metric_label label = { "pool", p->name };
    (void)metric_counter_fn(
        metrics, "weir_pool_panics_total",
        "How often servers that are not well began to be used, for want of those that are.", &label, 1,
        number_of, &p->panics);
    (void)metric_gauge_fn(metrics, "weir_pool_panic", "1 while servers that are not well are used.", &label,
                          1, is_panicking, p);
    (void)metric_counter_fn(metrics, "weir_pool_ejections_denied_total",
                            "Findings that ejected nobody, because max_ejected were out already.", &label, 1,
                            number_of, &p->ejections_denied);
    for (int i = 0; i < 2; i++) {
        const struct metric_label labels[] = { { "pool", p->name }, { "result", i ? "passed" : "failed" } };
        (void)metric_counter_fn(metrics, "weir_pool_checks_total", "Checks of its servers that have ended.",
                                labels, 2, number_of, &p->checks[i]);
    }
}

static double serves_newest_first(void *pool)
{
    const struct pool *p = pool;
    return pool_serves_newest_first(p, p->roster->conf, clock_now_ns());
}

static void add_meters(struct pool *p, struct metric_registry *metrics)
{
    const struct metric_label label = { "pool", p->name };
    add_health_meters(p, metrics);
    p->meter_queued = metric_counter(metrics, "weir_pool_queued_total", "Exchanges that waited for a server.",
                                     &label, 1);
    (void)metric_gauge_fn(metrics, "weir_pool_queue_length", "Exchanges that wait for a server now.", &label,
                          1, waiting, p);
    (void)metric_gauge_fn(metrics, "weir_pool_queue_newest_first",
                          "1 while who came last is served first, as the queue has refused somebody lately.",
                          &label, 1, serves_newest_first, p);
    p->meter_queue_full = metric_counter(metrics, "weir_pool_queue_full_total",
                                         "Exchanges refused because the queue was full.", &label, 1);
}

static void add_retry_meters(struct pool *p, struct metric_registry *metrics)
{
    static const char *const names[] = {
#define X(id, name) [POOL_RETRY_##id] = name,
        POOL_RETRIES(X)
#undef X
    };
    struct metric_label labels[] = { { "pool", p->name }, { "why", NULL } };
    for (int i = POOL_RETRY_NONE + 1; i < POOL_RETRY_COUNT; i++) {
        labels[1].value = names[i];
        p->meter_retries[i] = metric_counter(
            metrics, "weir_pool_retries_total",
            "Attempts after an exchange's first, by what was wrong with the one before.", labels, 2);
    }
    p->meter_retries_denied = metric_counter(
        metrics, "weir_pool_retries_denied_total",
        "Attempts that were not made because the pool's retry budget was used up.", labels, 1);
    p->meter_hedges = metric_counter(metrics, "weir_pool_hedges_total",
                                     "Attempts made beside another, which took long.", labels, 1);
    p->meter_hedges_won = metric_counter(metrics, "weir_pool_hedges_won_total",
                                         "Those of them whose answer went to the client.", labels, 1);
    p->meter_hedges_denied = metric_counter(
        metrics, "weir_pool_hedges_denied_total",
        "Those that were not made because the pool's retry budget was used up.", labels, 1);
}

int pool_new(struct pool **out, const struct pool_env *env, const struct pool_conf *conf,
             struct conf_arena *arena, struct err *err)
{
    struct pool *p = calloc(1, sizeof(*p));
    if (p) p->workers = calloc(env->worker_count, sizeof(struct pool_worker *));
    if (p) p->id = names_intern(env->names, conf->name);
    if (!p || !p->workers || !p->id) {
        if (p) free(p->workers);
        free(p);
        return err_set(err, "out of memory for pool \"%s\"", conf->name);
    }
    p->name = names_of(env->names, p->id);
    p->kind = conf->kind;
    p->worker_count = env->worker_count;
    metric_scope_open(env->metrics, &p->meters);
    add_meters(p, env->metrics);
    add_retry_meters(p, env->metrics);
    metric_scope_close(env->metrics, &p->meters);
    struct pool_change first;
    if (pool_prepare(&first, p, env, conf, arena, err) < 0) {
        pool_free(p, env);
        return -1;
    }
    pool_commit(&first);
    *out = p;
    return 0;
}

void pool_free(struct pool *p, const struct pool_env *env)
{
    if (!p) return;
    peer_set_put(p->current);
    roster_discard(p->roster, env);
    metric_scope_retire(env->metrics, &p->meters);
    free(p->workers);
    free(p);
}

struct server *pool_server_by_name(const struct pool *p, const char *name)
{
    return roster_server(p->roster, slice_of(name));
}
