#include "proxy/explain_retry.h"

#include "proxy/hedge.h"
#include "proxy/upgrade.h"

/* How it stands before anything has been sent: a body is taken to come whole, and to be kept. */
static void print_hedge(const struct explain_request *rq, const struct choose_result *c,
                        const struct retry_conf *retry, struct json *out)
{
    struct pool *p = c->pool->pool;
    const struct route_conf *route = c->route->conf;
    json_key(out, "hedge");
    if (!retry->hedge) {
        json_null(out);
        return;
    }
    uint32_t us = pool_latency_us(&p->latency, retry->hedge->percentile);
    struct hedge_facts f = { .latency_us = us,
                             .servers = p->current->count,
                             .is_repeatable = http_method_is_idempotent(rq->head.method) ||
                                              (route && route->idempotent),
                             .is_named = c->named != NULL,
                             .is_upgrade = route && upgrade_allowed(&rq->head, route).len > 0,
                             .expects_continue = rq->head.expects_continue,
                             .is_whole = true };
    enum hedge_bar bar = hedge_bar(retry, &f);
    json_object(out);
    json_key(out, "percentile");
    json_u64(out, retry->hedge->percentile);
    json_key(out, "at_least_ms");
    json_u64(out, retry->hedge->at_least_ms);
    json_key(out, "after_ms");
    if (us)
        json_u64(out, hedge_after_ms(retry->hedge, us));
    else
        json_null(out);
    json_key(out, "may");
    json_bool(out, bar == HEDGE_BAR_NONE);
    json_key(out, "why_not");
    json_string(out, bar == HEDGE_BAR_NONE ? NULL : hedge_bar_means(bar));
    json_object_end(out);
}

/* By the route's settings, else by the pool's. */
void explain_retry(const struct explain_request *rq, const struct choose_result *c, struct json *out)
{
    const struct route_conf *route = c->route->conf;
    const struct retry_conf *retry = route && route->retry ? route->retry
                                                           : &c->pool->pool->roster->conf->retry.how;
    const struct retry_budget_conf *budget = &c->pool->pool->roster->conf->retry.budget;
    const uint32_t *on = retry->on.data;
    json_key(out, "retry");
    json_object(out);
    json_key(out, "attempts");
    json_u64(out, retry->attempts);
    json_key(out, "on");
    json_array(out);
    for (uint32_t i = 0; i < retry->on.count; i++) {
        char memory[16];
        struct text t = text_over(memory, sizeof(memory));
        retry_on_print(&on[i], &t);
        json_slice(out, text_slice(&t));
    }
    json_array_end(out);
    json_key(out, "per_try_ms");
    json_u64(out, retry->per_try_ms);
    json_key(out, "may_repeat");
    json_bool(out, http_method_is_idempotent(rq->head.method) || (route && route->idempotent));
    json_key(out, "budget_share");
    json_u64(out, budget->share);
    json_key(out, "budget_reserve");
    json_u64(out, budget->reserve);
    print_hedge(rq, c, retry, out);
    json_object_end(out);
}
