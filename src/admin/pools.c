#include <stdlib.h>

#include "admin/latency.h"
#include "admin/routes.h"
#include "base/log.h"
#include "conf/decode.h"
#include "net/loop.h"
#include "pool/pool_worker.h"
#include "proxy/proxy.h"

/* servers */

struct server_answer {
    const char *name, *address, *admin, *health, *state;
    uint64_t weight, in_flight, open_connections, max_connections;
    uint64_t attempts, failures, connects, reuses, learned_idle_ms;
    struct latency latency;
};

/* clang-format off */
static const struct shape_field server_fields[] = {
    { "name", SHAPE_STRING, offsetof(struct server_answer, name), .help = "Its name; the address if it has none." },
    { "address", SHAPE_STRING, offsetof(struct server_answer, address), .help = "Where it listens." },
    { "admin", SHAPE_STRING, offsetof(struct server_answer, admin),
      .help = "The operator's word: enabled, drain or maintenance." },
    { "health", SHAPE_STRING, offsetof(struct server_answer, health),
      .help = "What weir knows: unknown, up, warming, ejected or down." },
    { "state", SHAPE_STRING, offsetof(struct server_answer, state),
      .help = "Both together: up, down, ejected, draining, maintenance or warming." },
    { "weight", SHAPE_COUNT, offsetof(struct server_answer, weight),
      .help = "Its share of the traffic in proportion to the others'." },
    { "in_flight", SHAPE_COUNT, offsetof(struct server_answer, in_flight), .help = "Exchanges it is at now." },
    { "open_connections", SHAPE_COUNT, offsetof(struct server_answer, open_connections),
      .help = "Connections open to it, idle ones included." },
    { "max_connections", SHAPE_COUNT, offsetof(struct server_answer, max_connections),
      .help = "The cap on those; 0 is none." },
    { "attempts", SHAPE_COUNT, offsetof(struct server_answer, attempts), .help = "Attempts made at it." },
    { "failures", SHAPE_COUNT, offsetof(struct server_answer, failures), .help = "Attempts that failed." },
    { "connects", SHAPE_COUNT, offsetof(struct server_answer, connects), .help = "Connections begun." },
    { "reuses", SHAPE_COUNT, offsetof(struct server_answer, reuses),
      .help = "Attempts on a connection that had been used before." },
    { "latency", SHAPE_OBJECT, offsetof(struct server_answer, latency), &latency_shape },
    { "learned_idle_ms", SHAPE_COUNT, offsetof(struct server_answer, learned_idle_ms), .may_be_null = true,
      .help = "How long it was seen or said to leave an idle connection open; null is not known." },
    { 0 },
};
/* clang-format on */

const struct shape server_shape = { "Server", sizeof(struct server_answer), server_fields };

static uint64_t learned_idle_ms(const struct server *s)
{
    uint32_t said = atomic_load_explicit(&s->said_idle_ms, memory_order_relaxed);
    uint32_t seen = atomic_load_explicit(&s->seen_idle_ms, memory_order_relaxed);
    if (said && seen) return said < seen ? said : seen;
    return said || seen ? said | seen : SHAPE_NULL;
}

static struct server_answer describe_server(const struct server *s, const struct metric_registry *m)
{
    return (struct server_answer){
        .name = s->name,
        .address = s->address_text,
        .admin = server_admin_name((enum server_admin)atomic_load(&s->admin)),
        .health = server_health_name((enum server_health)atomic_load(&s->health)),
        .state = server_state_name(s),
        .weight = atomic_load(&s->weight),
        .in_flight = atomic_load_explicit(&s->peer.in_flight, memory_order_relaxed),
        .open_connections = atomic_load_explicit(&s->peer.open_connections, memory_order_relaxed),
        .max_connections = atomic_load_explicit(&s->peer.cap, memory_order_relaxed),
        .attempts = metric_sum(m, s->meter_attempts),
        .failures = metric_sum(m, s->meter_failures),
        .connects = metric_sum(m, s->meter_connects),
        .reuses = metric_sum(m, s->meter_reuses),
        .learned_idle_ms = learned_idle_ms(s),
        .latency = latency_of(m, s->meter_latency),
    };
}

/* pools */

struct queue_answer {
    uint64_t waiting, length, queued, refused;
};

struct pool_answer {
    const char *name, *method;
    struct shape_list servers;
    struct queue_answer queue;
    uint64_t available;
    bool panic;
};

static const struct shape_field queue_fields[] = {
    { "waiting", SHAPE_COUNT, offsetof(struct queue_answer, waiting), .help = "Exchanges that wait now." },
    { "length", SHAPE_COUNT, offsetof(struct queue_answer, length), .help = "How many of one worker may." },
    { "queued", SHAPE_COUNT, offsetof(struct queue_answer, queued), .help = "Exchanges that ever waited." },
    { "refused", SHAPE_COUNT, offsetof(struct queue_answer, refused), .help = "Exchanges that found it full." },
    { 0 },
};

static const struct shape queue_shape = { "Queue", sizeof(struct queue_answer), queue_fields };

static const struct shape_field pool_fields[] = {
    { "name", SHAPE_STRING, offsetof(struct pool_answer, name), .help = "Its name in the configuration." },
    { "method", SHAPE_STRING, offsetof(struct pool_answer, method), .help = "How a server is chosen." },
    { "servers", SHAPE_LIST, offsetof(struct pool_answer, servers), &server_shape, .help = "Its servers." },
    { "queue", SHAPE_OBJECT, offsetof(struct pool_answer, queue), &queue_shape },
    { "available", SHAPE_COUNT, offsetof(struct pool_answer, available),
      .help = "How many servers may be chosen now." },
    { "panic", SHAPE_BOOL, offsetof(struct pool_answer, panic),
      .help = "No server is healthy, so all that the operator enabled are tried." },
    { 0 },
};

const struct shape pool_shape = { "Pool", sizeof(struct pool_answer), pool_fields };

static uint64_t waiting_in(const struct proxy *p, const struct pool *pool)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        const struct pool_worker *pw = p->pool_workers[(size_t)pool->index * p->worker_count + i];
        if (pw) sum += __atomic_load_n(&pw->queue_length, __ATOMIC_RELAXED);
    }
    return sum;
}

static void print_pool(const struct proxy *p, const struct pool *pool, struct json *j)
{
    struct server_answer *servers = calloc(pool->server_count + 1, sizeof(*servers));
    if (!servers) {
        j->is_failed = true;
        return;
    }
    for (uint32_t i = 0; i < pool->server_count; i++) servers[i] = describe_server(&pool->servers[i], p->metrics);
    struct pool_answer a = {
        .name = pool->name,
        .method = pool->conf->balance.option->name,
        .servers = { servers, pool->server_count },
        .queue = { .waiting = waiting_in(p, pool),
                   .length = pool->conf->queue.length,
                   .queued = metric_sum(p->metrics, pool->meter_queued),
                   .refused = metric_sum(p->metrics, pool->meter_queue_full) },
        .available = pool->current->count,
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

/* NULL: `out` says that there is none. */
static struct pool *find_pool(const struct admin_request *rq, struct answer *out)
{
    struct pool *pool = proxy_pool_by_name(rq->proxy, rq->params[0].data);
    if (!pool)
        answer_problem(out, 404, "There is no pool \"%.64s\"; GET /api/v1/pools lists them.", rq->params[0].data);
    return pool;
}

static struct server *find_server(const struct admin_request *rq, struct answer *out)
{
    const struct pool *pool = find_pool(rq, out);
    if (!pool) return NULL;
    struct server *s = pool_server_by_name(pool, rq->params[1].data);
    if (!s)
        answer_problem(out, 404, "There is no server \"%.64s\" in pool \"%s\"; GET /api/v1/pools/%s lists them.",
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
    for (uint32_t i = 0; i < pool->server_count; i++) {
        struct server_answer a = describe_server(&pool->servers[i], rq->proxy->metrics);
        shape_print(&server_shape, &a, &j);
    }
    json_array_end(&j);
    json_object_end(&j);
    answer_json(out, 200, &j);
}

static void answer_server(const struct admin_request *rq, const struct server *s, struct answer *out)
{
    struct server_answer a = describe_server(s, rq->proxy->metrics);
    struct json j;
    json_init(&j, ANSWER_MAX, true);
    shape_print(&server_shape, &a, &j);
    answer_json(out, 200, &j);
}

void servers_show(const struct admin_request *rq, struct answer *out)
{
    const struct server *s = find_server(rq, out);
    if (s) answer_server(rq, s, out);
}

/* PATCH */

struct server_patch {
    uint32_t admin; /* enum server_admin */
    uint32_t weight;
};

/* In the order of enum server_admin. */
static const char *const admin_names[] = { "enabled", "drain", "maintenance", NULL };
static const struct conf_type admin_type = { .name = "admin", .size = sizeof(uint32_t), .names = admin_names };

static const struct conf_field patch_fields[] = {
    { "admin", CONF_ENUM(struct server_patch, admin, &admin_type), .flags = CONF_LIVE,
      .help = "enabled: it takes traffic; drain: nothing new, what goes on ends by itself; maintenance: the same, "
              "said to be out of service." },
    { "weight", CONF_U32(struct server_patch, weight), .min = 1, .max = BALANCE_WEIGHT_MAX, .flags = CONF_LIVE,
      .help = "Its share of the traffic in proportion to the others'; until the configuration is read again." },
    { 0 },
};

const struct conf_type server_patch_type = {
    .name = "server change", .size = sizeof(struct server_patch), .fields = patch_fields
};

/* -1: `out` says what is wrong. */
static int read_patch(const struct admin_request *rq, struct server_patch *patch, struct answer *out)
{
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) {
        answer_problem(out, 503, "There is no memory to read the body; try again.");
        return -1;
    }
    struct conf_tree tree;
    struct conf_arena *arena = conf_arena_new();
    uint64_t set = 0;
    int result = conf_read_json(&tree, "request body", rq->body, faults);
    if (result == 0) result = conf_decode_patch(&tree, &server_patch_type, patch, arena, &set, faults);
    if (result < 0)
        answer_faults(out, faults, &tree);
    else if (!set)
        answer_problem(out, 400, "The body changes nothing; send {\"admin\": \"drain\"} or {\"weight\": 5}, or both.");
    conf_tree_free(&tree);
    conf_arena_free(arena);
    free(faults);
    return result == 0 && set ? 0 : -1;
}

static void set_server(struct server *s, const struct server_patch *patch)
{
    atomic_store(&s->admin, patch->admin);
    atomic_store(&s->weight, patch->weight);
}

void servers_patch(const struct admin_request *rq, struct answer *out)
{
    struct server *s = find_server(rq, out);
    if (!s) return;
    struct err err;
    struct server_patch before = { atomic_load(&s->admin), atomic_load(&s->weight) };
    struct server_patch after = before;
    if (read_patch(rq, &after, out) < 0) return;
    set_server(s, &after);
    if (pool_rebuild(s->pool, &err) < 0) {
        set_server(s, &before);
        answer_problem(out, 500, "Nothing was changed: %s.", err.text);
        return;
    }
    proxy_publish(rq->proxy, s->pool);
    char quoted[160];
    log_event(LOG_INFO, "server_changed", "pool=%s server=%s admin=%s weight=%u", s->pool->name,
              log_quote(s->name, quoted, sizeof(quoted)), server_admin_name((enum server_admin)after.admin), after.weight);
    answer_server(rq, s, out);
}
