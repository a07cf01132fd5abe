#include "crew.h"

#include <stdio.h>
#include <string.h>

#include "pool/ejection.h"
#include "pool/pool_worker_life.h"

#define MAILS 1024

const struct balance_method *crew_method(const char *name)
{
    for (const struct balance_method *const *m = balance_methods; *m; m++)
        if (strcmp((*m)->name, name) == 0) return *m;
    return NULL;
}

void crew_init(struct crew *c, const char *method, uint32_t server_count)
{
    struct address nowhere;
    struct err err;
    assert_true(server_count <= CREW_SERVERS_MAX);
    assert_int_equal(address_parse(SLICE("127.0.0.1:1"), false, &nowhere, &err), 0);
    memset(c, 0, sizeof(*c));
    for (uint32_t i = 0; i < server_count; i++) {
        snprintf(c->names[i], sizeof(c->names[i]), "s%u", i);
        c->servers[i] = (struct server_conf){ .name = c->names[i], .address = nowhere, .weight = 1 };
    }
    c->method = (struct conf_option){ .name = method, .object = crew_method(method) };
    assert_non_null(c->method.object);
    c->conf = (struct pool_conf){ .name = "web",
                                  .balance = { .option = &c->method },
                                  .servers = { c->servers, server_count },
                                  .host = "keep",
                                  .timeouts = { .keep_alive_ms = 60000 },
                                  .queue = { 1024 },
                                  .limits = { 65536, 128 },
                                  .ejection = { .is_enabled = true,
                                                .connect_failures = CREW_EJECT_AFTER,
                                                .timeouts = 3,
                                                .gateway_errors = 5,
                                                .server_errors = 10,
                                                .share = 30,
                                                .attempts = 20,
                                                .min_ms = CREW_EJECT_MIN_MS,
                                                .max_ms = 30000,
                                                .max_ejected = 50 },
                                  .idle_connections = 16 };
    c->budget.limit = 64 << 20;
}

static void open_loop(struct crew *c, struct loop *l, struct mailbox **box, void *reader)
{
    struct err err;
    if (loop_init(l, &c->budget, &err) < 0) fail_msg("%s", err.text);
    l->is_virtual = true;
    rng_seed(&l->rng, 1 + c->worker_count);
    if (mailbox_new(box, l, reader, MAILS, &err) < 0) fail_msg("%s", err.text);
}

static void on_evidence(void *control, const struct mail *m)
{
    struct crew *c = control;
    enum server_evidence evidence = (enum server_evidence)m->number;
    if (evidence == SERVER_FAULTS ? pool_judge_answers(c->pool, c->now_ms)
                                  : server_report(m->object, evidence, c->now_ms))
        crew_publish(c);
}

static void open_worker(struct crew *c, uint32_t i)
{
    struct err err;
    open_loop(c, &c->loops[i], &c->boxes[i], c);
    c->envs[i] = (struct pool_worker_env){ .loop = &c->loops[i],
                                           .metrics = metric_shard_of(c->metrics, i),
                                           .box = c->boxes[i],
                                           .control = c->control_box,
                                           .index = i,
                                           .worker_count = c->worker_count,
                                           .upstream_live = &c->live[i],
                                           .upstream_idle = &c->idle[i],
                                           .on_evidence = on_evidence };
    if (pool_worker_new(&c->workers[i], c->pool, &c->envs[i], &err) < 0) fail_msg("%s", err.text);
    rng_seed(&c->loops[i].rng, 1000 + i);
}

void crew_start(struct crew *c, uint32_t worker_count)
{
    struct err err;
    c->worker_count = worker_count;
    if (metric_registry_new(&c->metrics, worker_count, 10000, &err) < 0) fail_msg("%s", err.text);
    if (names_init(&c->registry, &err) < 0) fail_msg("%s", err.text);
    c->env = (struct pool_env){ &c->registry, c->metrics, worker_count };
    if (pool_new(&c->pool, &c->env, &c->conf, NULL, &err) < 0) fail_msg("%s", err.text);
    open_loop(c, &c->control, &c->control_box, c);
    for (uint32_t i = 0; i < worker_count; i++) {
        open_worker(c, i);
        c->loops[i].now_ns = c->control.now_ns;
        c->loops[i].timers.now_ms = c->control.timers.now_ms;
    }
    c->now_ms = loop_now_ms(&c->control);
}

void crew_stop(struct crew *c)
{
    for (uint32_t i = 0; i < c->worker_count; i++) pool_worker_close_idle(c->workers[i]);
    crew_turns(c, 3);
    for (uint32_t i = 0; i < c->pool->roster->count; i++) {
        const struct balance_peer *p = &c->pool->roster->places[i].server->peer;
        assert_int_equal(p->in_flight, 0);
        assert_int_equal(p->open_connections, 0);
        assert_int_equal(p->waiting_mask, 0);
    }
    for (uint32_t i = 0; i < c->worker_count; i++) {
        assert_int_equal(c->workers[i]->queue_length, 0);
        assert_int_equal(c->live[i], 0);
        assert_int_equal(c->idle[i], 0);
        assert_int_equal(c->loops[i].timers.count, 0);
        pool_worker_free(c->workers[i]);
        mailbox_free(c->boxes[i]);
        loop_fini(&c->loops[i]);
    }
    /* The workers have given their references back: the pool's own is left. */
    assert_int_equal(c->pool->current->refs, 1);
    mailbox_free(c->control_box);
    loop_fini(&c->control);
    pool_free(c->pool, &c->env);
    assert_int_equal(metric_series_count(c->metrics), 0);
    metric_registry_free(c->metrics);
    names_fini(&c->registry);
    assert_int_equal(c->budget.used, 0);
}

uint32_t crew_index(const struct server *s)
{
    const struct roster *r = s->pool->roster;
    return (uint32_t)(roster_place_of(r, s) - r->places);
}

void crew_turns(struct crew *c, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        loop_turn(&c->control, 0);
        for (uint32_t i = 0; i < c->worker_count; i++) loop_turn(&c->loops[i], 0);
    }
}

void crew_pass_time(struct crew *c, uint64_t ms)
{
    c->now_ms += ms;
    c->control.now_ns += ms * NS_PER_MS;
    for (uint32_t i = 0; i < c->worker_count; i++) c->loops[i].now_ns += ms * NS_PER_MS;
}

void crew_publish(struct crew *c)
{
    struct err err;
    if (pool_rebuild(c->pool, &err) < 0) fail_msg("%s", err.text);
    for (uint32_t i = 0; i < c->worker_count; i++)
        pool_worker_publish(c->workers[i], peer_set_get(c->pool->current));
    c->changes++;
}

void crew_readmit(struct crew *c)
{
    bool has_changed = false;
    for (uint32_t i = 0; i < c->pool->roster->count; i++)
        if (server_readmit(c->pool->roster->places[i].server, c->now_ms)) has_changed = true;
    if (has_changed) crew_publish(c);
}

void crew_judge(struct crew *c)
{
    bool has_changed = pool_judge_answers(c->pool, c->now_ms);
    pool_age_answers(c->pool);
    if (has_changed) crew_publish(c);
}

void crew_warm_up(struct crew *c)
{
    if (pool_warm_up(c->pool, c->now_ms)) crew_publish(c);
}

struct server *crew_pick(struct crew *c, uint32_t index, const struct balance_query *extra)
{
    struct pool_view *view = c->workers[index]->view;
    struct balance_query q = *extra;
    struct balance_choice choice = { .peer = BALANCE_NONE };
    q.peers = view->set->peers;
    q.peer_count = view->set->count;
    q.now_ns = c->loops[index].now_ns;
    q.rng = &c->loops[index].rng;
    if (view->set->count) balance_pick(&view->balance, &q, &choice);
    return choice.peer == BALANCE_NONE ? NULL : view->set->servers[choice.peer];
}
