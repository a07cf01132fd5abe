/* Whether a request goes to a server once more: the rules of twice (SEAMS), what is configured, and what the pool's budget
 * has left. Where it then goes is exchange_attempt.c's to decide. */
#include "base/bug.h"
#include "proxy/exchange_steps.h"
#include "proxy/retry.h"
#include "proxy/route_set.h"

bool exchange_is_replayable(const struct exchange *x)
{
    return http_method_is_idempotent(x->head.method) || (x->route->conf && x->route->conf->idempotent);
}

static enum pool_retry decide(const struct exchange *x, enum end_reason reason)
{
    const struct http_stream *s = x->attempt.stream;
    struct retry_facts f = { .reason = reason,
                             .attempts = x->attempts,
                             .since_start_ms = exchange_since_start_us(x) / 1000,
                             .is_repeatable = exchange_is_replayable(x),
                             .is_unprocessed = !s || s->is_unprocessed,
                             .is_kept = s && s->is_reused && !s->is_alone,
                             .was_replaced = x->was_replaced,
                             .has_received = s && s->has_received,
                             .is_begun = x->state == EXCHANGE_RESPONSE || x->is_informed,
                             .is_whole = x->body_in == x->replay_len };
    return retry_decide(x->retry, &f);
}

static bool was_tried(const struct exchange *x, uint32_t peer)
{
    for (uint32_t i = 0; i < x->tried_count; i++)
        if (x->tried[i] == peer) return true;
    return false;
}

bool exchange_has_another_server(const struct exchange *x)
{
    if (bug_if(EXCHANGE, !x->view)) return false; /* it is let go of once nobody is asked any more */
    const struct peer_set *set = x->view->set;
    if (x->named && x->named_reason == BALANCE_PINNED) return false;
    for (uint32_t i = 0; i < set->count; i++) {
        const struct server *s = set->servers[i];
        if (s == x->attempt.server || atomic_load_explicit(&s->peer.is_out, memory_order_relaxed)) continue;
        if (!balance_peer_is_full(&s->peer) && !was_tried(x, i)) return true;
    }
    return false;
}

/* Nobody else is in the pool: what is asked for would be asked for in vain. */
static bool is_alone(const struct exchange *x)
{
    const struct peer_set *set = x->view->set;
    if (set->standby_count || set->count > 1) return false;
    return !set->count || set->servers[0] == x->attempt.server;
}

/* A server that refuses streams has read them, and most likely has too many: it is not to have more of them for that. */
static bool costs_nothing(enum pool_retry why, enum end_reason reason)
{
    return retry_is_free(why) && reason != END_SERVER_REFUSED;
}

static bool is_affordable(struct exchange *x, enum pool_retry why, enum end_reason reason)
{
    if (costs_nothing(why, reason)) return true;
    if (retry_budget_take(x->pool, x->is_retrying, why == POOL_RETRY_SLOW)) {
        x->is_retrying = true;
        return true;
    }
    /* Whoever waits on asks again. */
    if (!(x->record.flags & FLIGHT_RETRY_DENIED))
        metric_add(x->worker->metrics, x->pool->pool->meter_retries_denied, 1);
    x->record.flags |= FLIGHT_RETRY_DENIED;
    return false;
}

enum pool_retry exchange_retry(struct exchange *x, enum end_reason reason)
{
    enum pool_retry why = decide(x, reason);
    if (why == POOL_RETRY_NONE || (!retry_is_free(why) && is_alone(x))) return POOL_RETRY_NONE;
    if (!is_affordable(x, why, reason)) return POOL_RETRY_NONE;
    x->retried_for = (uint8_t)why;
    return why;
}

bool exchange_try_another(struct exchange *x, enum end_reason reason)
{
    if (bug_if(EXCHANGE, !attempt_is_in_hand(&x->attempt))) return false;
    if (!exchange_has_another_server(x)) return false;
    enum pool_retry why = exchange_retry(x, reason);
    if (why == POOL_RETRY_NONE) return false;
    exchange_leave_attempt(x, reason, NULL, 0, why);
    return true;
}

bool exchange_answer_is_given_up(struct exchange *x, uint16_t status)
{
    if (status < 400 || !retry_conf_names(x->retry, status)) return false;
    return exchange_try_another(x, END_ANSWER_GIVEN_UP);
}
