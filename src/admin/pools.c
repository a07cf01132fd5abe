#include <stdlib.h>

#include "admin/latency.h"
#include "admin/pools.h"
#include "admin/routes.h"
#include "base/clock.h"
#include "conf/decode.h"
#include "net/loop.h"
#include "pool/queue.h"
#include "proxy/proxy.h"

/* servers */

struct check_answer {
    const char *last, *detail;
    uint64_t status, took_us, ago_ms, passed_on_end, failed_on_end;
};

struct server_answer {
    const char *name, *address, *admin, *health, *health_reason, *state, *zone;
    const char *health_detail;
    uint64_t health_ms, ejected_ms, weight, set_weight, tier, draining_ms;
    double share_percent;
    bool in_subset;
    uint64_t in_flight, open_connections, max_connections;
    uint64_t attempts, failures, connects, reuses, learned_idle_ms;
    struct check_answer check;
    struct latency latency;
    const char *tls_failure;
    char tls_failure_text[SERVER_TLS_FAILURE_MAX];
};

static const struct shape_field check_fields[] = {
    SHAPE_ROW(check_answer, last, STRING, "How the latest went: passed or failed; null: none has ended yet.",
              .may_be_null = true),
    SHAPE_ROW(check_answer, detail, STRING, "What was seen, of one that failed.", .may_be_null = true),
    SHAPE_ROW(check_answer, status, COUNT, "Of the answer; null: none came, or it was not asked by HTTP.",
              .may_be_null = true),
    SHAPE_ROW(check_answer, took_us, COUNT, "How long it took.", .may_be_null = true),
    SHAPE_ROW(check_answer, ago_ms, COUNT, "How long it is over.", .may_be_null = true),
    SHAPE_ROW(check_answer, passed_on_end, COUNT, "How many have passed since the last that failed."),
    SHAPE_ROW(check_answer, failed_on_end, COUNT, "How many have failed since the last that passed."),
    { 0 },
};

static const struct shape check_shape = { "Check", sizeof(struct check_answer), check_fields };

static const struct shape_field server_fields[] = {
    SHAPE_ROW(server_answer, name, STRING, "Its name; the address if it has none."),
    SHAPE_ROW(server_answer, address, STRING, "Where it listens."),
    SHAPE_ROW(server_answer, admin, STRING, "The operator's word: enabled, drain or maintenance."),
    SHAPE_ROW(server_answer, health, STRING, "What weir knows: unknown, up, warming, ejected or down."),
    SHAPE_ROW(
        server_answer, health_reason, STRING,
        "Why: start, connected, connect_failures, seen_failing (in another program's log), ejection_over, "
        "warmed_up, enabled, check_passed, check_failed, checks_ended, timeouts, gateway_errors, "
        "server_errors, failure_share or latency."),
    SHAPE_ROW(server_answer, health_detail, STRING, "What was seen, in a sentence; null: there is no more.",
              .may_be_null = true),
    SHAPE_ROW(server_answer, health_ms, COUNT, "For how long; null: since weir knows it.",
              .may_be_null = true),
    SHAPE_ROW(server_answer, ejected_ms, COUNT, "For how much longer it is ejected; null: it is not.",
              .may_be_null = true),
    SHAPE_ROW(server_answer, check, OBJECT, NULL, .of = &check_shape),
    SHAPE_ROW(server_answer, state, STRING,
              "Both together: up, down, ejected, draining, maintenance or warming."),
    SHAPE_ROW(server_answer, weight, COUNT, "Its share of the traffic in proportion to the others'."),
    SHAPE_ROW(server_answer, tier, COUNT, "Its tier: 1 is the first."),
    SHAPE_ROW(server_answer, zone, STRING, "Its zone; null if it has none.", .may_be_null = true),
    SHAPE_ROW(server_answer, in_subset, BOOL, "It is one of those that this process uses."),
    SHAPE_ROW(server_answer, set_weight, COUNT,
              "What is left of its weight by its tier, zone and warm-up, in proportion to the others'; 0: it "
              "is not "
              "chosen from."),
    SHAPE_ROW(server_answer, share_percent, NUMBER, "Its part of what is chosen now, by these weights."),
    SHAPE_ROW(server_answer, draining_ms, COUNT, "For how long it has been in drain; null if it is not.",
              .may_be_null = true),
    SHAPE_ROW(server_answer, in_flight, COUNT, "Exchanges it is at now."),
    SHAPE_ROW(server_answer, open_connections, COUNT, "Connections open to it, idle ones included."),
    SHAPE_ROW(server_answer, max_connections, COUNT, "The cap on those; 0 is none."),
    SHAPE_ROW(server_answer, attempts, COUNT, "Attempts made at it."),
    SHAPE_ROW(server_answer, failures, COUNT, "Attempts that failed."),
    SHAPE_ROW(server_answer, connects, COUNT, "Connections begun."),
    SHAPE_ROW(server_answer, reuses, COUNT, "Attempts on a connection that had been used before."),
    SHAPE_ROW(server_answer, latency, OBJECT, NULL, .of = &latency_shape),
    SHAPE_ROW(server_answer, learned_idle_ms, COUNT,
              "How long it was seen or said to leave an idle connection open; null is not known.",
              .may_be_null = true),
    SHAPE_ROW(server_answer, tls_failure, STRING,
              "Why the last TLS handshake with it that failed did; null: none has.", .may_be_null = true),
    { 0 },
};

const struct shape server_shape = { "Server", sizeof(struct server_answer), server_fields };

static double share_percent(const struct server *s)
{
    bool is_out = atomic_load_explicit(&s->peer.is_out, memory_order_relaxed);
    return is_out || !s->set_weight ? 0 : 100.0 * s->set_weight / (double)s->pool->set_weight;
}

static uint64_t ms_since(uint64_t since_ms, uint64_t now_ms)
{
    if (!since_ms) return SHAPE_NULL;
    return now_ms > since_ms ? now_ms - since_ms : 0;
}

static uint64_t ejected_ms(const struct server *s, uint64_t now_ms)
{
    if (atomic_load(&s->health) != SERVER_EJECTED) return SHAPE_NULL;
    return s->state.ejected_until_ms > now_ms ? s->state.ejected_until_ms - now_ms : 0;
}

static struct check_answer describe_check(const struct server *s, uint64_t now_ms)
{
    const struct server_check_result *r = &s->state.check;
    return (struct check_answer){ .last = !r->at_ms       ? NULL
                                          : r->has_passed ? "passed"
                                                          : "failed",
                                  .detail = r->words[0] ? r->words : NULL,
                                  .status = r->status ? r->status : SHAPE_NULL,
                                  .took_us = r->at_ms ? r->took_ns / 1000 : SHAPE_NULL,
                                  .ago_ms = ms_since(r->at_ms, now_ms),
                                  .passed_on_end = s->state.checks_passed,
                                  .failed_on_end = s->state.checks_failed };
}

static struct server_answer describe_server(const struct roster_place *place, const struct metric_registry *m)
{
    const struct server *s = place->server;
    uint64_t now_ms = clock_now_ns() / NS_PER_MS;
    uint64_t learned_ms = server_learned_idle_ms(s, now_ms);
    return (struct server_answer){
        .name = s->name,
        .address = s->address_text,
        .admin = server_admin_name((enum server_admin)atomic_load(&s->admin)),
        .health = server_health_name((enum server_health)atomic_load(&s->health)),
        .health_reason = server_health_reason_name(s->state.reason),
        .health_ms = ms_since(s->state.since_ms, now_ms),
        .health_detail = s->state.words[0] ? s->state.words : NULL,
        .ejected_ms = ejected_ms(s, now_ms),
        .check = describe_check(s, now_ms),
        .state = server_state_name(s),
        .weight = atomic_load(&s->weight),
        .tier = place->tier,
        .zone = place->conf->zone,
        .in_subset = place->is_in_subset,
        .set_weight = s->set_weight,
        .share_percent = share_percent(s),
        .draining_ms = ms_since(atomic_load(&s->drain_since_ms), now_ms),
        .in_flight = atomic_load_explicit(&s->peer.in_flight, memory_order_relaxed),
        .open_connections = atomic_load_explicit(&s->peer.open_connections, memory_order_relaxed),
        .max_connections = atomic_load_explicit(&s->connection_cap, memory_order_relaxed),
        .attempts = metric_sum(m, s->meter_attempts),
        .failures = metric_sum(m, s->meter_failures),
        .connects = metric_sum(m, s->meter_connects),
        .reuses = metric_sum(m, s->meter_reuses),
        .learned_idle_ms = learned_ms ? learned_ms : SHAPE_NULL,
        .latency = latency_of(m, s->meter_latency),
    };
}

/* In its place: the words are the answer's own. */
static void add_tls_failure(struct server_answer *a, struct server *s)
{
    if (server_tls_failure(s, a->tls_failure_text)) a->tls_failure = a->tls_failure_text;
}

void server_print(const struct roster_place *place, const struct metric_registry *metrics, struct json *j)
{
    struct server_answer a = describe_server(place, metrics);
    add_tls_failure(&a, place->server);
    shape_print(&server_shape, &a, j);
}

/* pools */

struct queue_answer {
    uint64_t waiting, length, queued, refused;
    bool newest_first;
};

struct hedges_answer {
    uint64_t made, won, denied;
};

struct retries_answer {
    uint64_t made, denied, now;
    struct hedges_answer hedges;
};

struct pool_answer {
    const char *name, *method;
    struct shape_list servers;
    struct queue_answer queue;
    struct retries_answer retries;
    uint64_t available, standby;
    bool panic;
};

static const struct shape_field queue_fields[] = {
    SHAPE_ROW(queue_answer, waiting, COUNT, "Exchanges that wait now."),
    SHAPE_ROW(queue_answer, length, COUNT, "How many of one worker may."),
    SHAPE_ROW(queue_answer, queued, COUNT, "Exchanges that ever waited."),
    SHAPE_ROW(queue_answer, refused, COUNT, "Exchanges that found it full, or made way when it was."),
    SHAPE_ROW(queue_answer, newest_first, BOOL,
              "Who came last is served first, as somebody was refused within `timeouts: {queue: …}`."),
    { 0 },
};

static const struct shape queue_shape = { "Queue", sizeof(struct queue_answer), queue_fields };

static const struct shape_field hedges_fields[] = {
    SHAPE_ROW(hedges_answer, made, COUNT, "Attempts made beside another, which took long."),
    SHAPE_ROW(hedges_answer, won, COUNT, "Those of them whose answer went to the client."),
    SHAPE_ROW(hedges_answer, denied, COUNT, "Those that the pool's retry budget did not bear."),
    { 0 },
};

static const struct shape hedges_shape = { "Hedges", sizeof(struct hedges_answer), hedges_fields };

static const struct shape_field retries_fields[] = {
    SHAPE_ROW(retries_answer, made, COUNT, "Attempts after an exchange's first."),
    SHAPE_ROW(retries_answer, denied, COUNT, "Attempts that the pool's retry budget did not bear."),
    SHAPE_ROW(retries_answer, now, COUNT,
              "Exchanges that go on and have had one of its attempts: those that a server may have seen."),
    SHAPE_ROW(retries_answer, hedges, OBJECT, NULL, .of = &hedges_shape),
    { 0 },
};

static const struct shape retries_shape = { "Retries", sizeof(struct retries_answer), retries_fields };

static const struct shape_field pool_fields[] = {
    SHAPE_ROW(pool_answer, name, STRING, "Its name in the configuration."),
    SHAPE_ROW(pool_answer, method, STRING, "How a server is chosen."),
    SHAPE_ROW(pool_answer, servers, LIST, "Its servers.", .of = &server_shape),
    SHAPE_ROW(pool_answer, queue, OBJECT, NULL, .of = &queue_shape),
    SHAPE_ROW(pool_answer, retries, OBJECT, NULL, .of = &retries_shape),
    SHAPE_ROW(pool_answer, available, COUNT, "How many servers may be chosen now."),
    SHAPE_ROW(pool_answer, standby, COUNT,
              "How many more would take requests if all of these were at their caps: of later tiers and "
              "other zones."),
    SHAPE_ROW(pool_answer, panic, BOOL, "No server is healthy, so all that the operator enabled are tried."),
    { 0 },
};

const struct shape pool_shape = { "Pool", sizeof(struct pool_answer), pool_fields };

static uint64_t available_in(const struct pool *pool)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < pool->current->count; i++)
        count += !atomic_load_explicit(&pool->current->peers[i]->is_out, memory_order_relaxed);
    return count;
}

static struct retries_answer describe_retries(const struct pool *pool, struct metric_registry *metrics)
{
    struct retries_answer a = {
        .denied = metric_sum(metrics, pool->meter_retries_denied),
        .now = atomic_load_explicit(&pool->retries.retrying, memory_order_relaxed),
        .hedges = { .made = metric_sum(metrics, pool->meter_hedges),
                    .won = metric_sum(metrics, pool->meter_hedges_won),
                    .denied = metric_sum(metrics, pool->meter_hedges_denied) },
    };
    for (int i = POOL_RETRY_NONE + 1; i < POOL_RETRY_COUNT; i++)
        a.made += metric_sum(metrics, pool->meter_retries[i]);
    return a;
}

static void print_pool(const struct proxy *p, const struct pool *pool, struct json *j)
{
    struct server_answer *servers = calloc(pool->roster->count + 1, sizeof(*servers));
    if (!servers) {
        j->is_failed = true;
        return;
    }
    for (uint32_t i = 0; i < pool->roster->count; i++) {
        servers[i] = describe_server(&pool->roster->places[i], p->metrics);
        add_tls_failure(&servers[i], pool->roster->places[i].server);
    }
    struct pool_answer a = {
        .name = pool->name,
        .method = pool->roster->conf->balance.option->name,
        .servers = { servers, pool->roster->count },
        .queue = { .waiting = pool_waiting(pool),
                   .length = pool->roster->conf->queue.length,
                   .queued = metric_sum(p->metrics, pool->meter_queued),
                   .refused = metric_sum(p->metrics, pool->meter_queue_full),
                   .newest_first = pool_serves_newest_first(pool, pool->roster->conf, clock_now_ns()) },
        .retries = describe_retries(pool, p->metrics),
        .available = available_in(pool),
        .standby = pool->current->standby_count,
        .panic = pool->current->is_panic,
    };
    shape_print(&pool_shape, &a, j);
    free(servers);
}

/* handlers */

void pools_list(const struct admin_request *rq, struct answer *out)
{
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "pools");
    json_array(&j);
    for (uint32_t i = 0; i < rq->proxy->pool_count; i++) print_pool(rq->proxy, rq->proxy->pools[i], &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

static struct pool *find_pool(const struct admin_request *rq, struct answer *out)
{
    struct pool *pool = proxy_pool_by_name(rq->proxy, rq->params[0].data);
    if (!pool)
        answer_problem(out, 404, "There is no pool \"%.64s\"; GET /api/v1/pools lists them.",
                       rq->params[0].data);
    return pool;
}

struct server *server_asked_for(const struct admin_request *rq, struct answer *out)
{
    const struct pool *pool = find_pool(rq, out);
    if (!pool) return NULL;
    struct server *s = pool_server_by_name(pool, rq->params[1].data);
    if (!s)
        answer_problem(out, 404,
                       "There is no server \"%.64s\" in pool \"%s\"; GET /api/v1/pools/%s lists them.",
                       rq->params[1].data, pool->name, pool->name);
    return s;
}

void pools_show(const struct admin_request *rq, struct answer *out)
{
    const struct pool *pool = find_pool(rq, out);
    if (!pool) return;
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    print_pool(rq->proxy, pool, &j);
    answer_json(out, 200, &j);
}

void servers_list(const struct admin_request *rq, struct answer *out)
{
    const struct pool *pool = find_pool(rq, out);
    if (!pool) return;
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    json_object(&j);
    json_key(&j, "servers");
    json_array(&j);
    for (uint32_t i = 0; i < pool->roster->count; i++)
        server_print(&pool->roster->places[i], rq->proxy->metrics, &j);
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

void server_answer(const struct admin_request *rq, struct server *s, struct answer *out)
{
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    server_print(roster_place_of(s->pool->roster, s), rq->proxy->metrics, &j);
    answer_json(out, 200, &j);
}

void servers_show(const struct admin_request *rq, struct answer *out)
{
    struct server *s = server_asked_for(rq, out);
    if (s) server_answer(rq, s, out);
}
