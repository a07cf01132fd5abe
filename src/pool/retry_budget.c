#include "pool/retry_budget.h"

#include "base/bug.h"
#include "base/count.h"
#include "pool/pool_worker.h"

/* What a request earns: another attempt costs as much as many of them earn, whatever share is configured by then. */
#define REQUEST UINT64_C(100)
#define SLOW_EACH_MS 1000

void retry_budget_began(struct pool_worker *pw)
{
    count_own(&pw->tally.begun);
}

void retry_budget_ended(struct pool_worker *pw, bool is_again)
{
    /* More than have begun would be taken for none that lives. */
    if (!bug_if(POOL_WORKER, pw->tally.ended >= pw->tally.begun)) count_own(&pw->tally.ended);
    count_own(&pw->moves);
    if (is_again) count_less_shared(POOL_WORKER, &pw->pool->retries.retrying);
}

struct sums {
    uint64_t begun, live;
};

static struct sums sum_up(const struct pool *p)
{
    struct sums s = { 0, 0 };
    for (uint32_t i = 0; i < p->worker_count; i++) {
        const struct pool_worker *pw = p->workers[i];
        if (!pw) continue;
        uint64_t ended = atomic_load_explicit(&pw->tally.ended, memory_order_relaxed);
        uint64_t begun = atomic_load_explicit(&pw->tally.begun, memory_order_relaxed);
        s.begun += begun;
        s.live += begun > ended ? begun - ended : 0;
    }
    return s;
}

static bool enter(struct pool *p, uint64_t most)
{
    if (atomic_fetch_add_explicit(&p->retries.retrying, 1, memory_order_release) < most) return true;
    count_less_shared(POOL_WORKER, &p->retries.retrying);
    return false;
}

/* What was not used in good times is not all there for a bad one: never more than `most`. */
static bool spend(struct pool *p, uint64_t earned, uint64_t most, uint64_t cost)
{
    uint64_t spent = atomic_load_explicit(&p->retries.spent, memory_order_relaxed), after;
    do {
        uint64_t left = earned > spent ? earned - spent : 0;
        if (left > most) left = most;
        if (left < cost) return false;
        after = earned - left + cost;
    } while (!atomic_compare_exchange_weak_explicit(&p->retries.spent, &spent, after, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static bool afford(struct pool_worker *pw, bool is_again)
{
    const struct retry_budget_conf *conf = &pw->view->set->roster->conf->retry.budget;
    struct pool *p = pw->pool;
    struct sums s = sum_up(p);
    uint64_t cost = (100 * REQUEST + conf->share - 1) / conf->share;
    /* The reserve is lent to the first requests, which pay it back before they earn more: so it is never more than the
     * share of all that came, once that is as much as the reserve. */
    uint64_t lent = conf->reserve * cost, earned = s.begun * REQUEST;
    if (!is_again && !enter(p, conf->reserve + s.live * conf->share / 100)) return false;
    if (spend(p, earned > lent ? earned : lent, lent + s.live * REQUEST, cost)) return true;
    if (!is_again) count_less_shared(POOL_WORKER, &p->retries.retrying);
    return false;
}

static bool is_slow_ones_turn(struct pool_worker *pw)
{
    uint64_t now_ms = loop_now_ms(pw->env->loop);
    uint64_t last_ms = atomic_load_explicit(&pw->pool->retries.slow_ms, memory_order_relaxed);
    if (last_ms && now_ms < last_ms + SLOW_EACH_MS) return false;
    return atomic_compare_exchange_strong_explicit(&pw->pool->retries.slow_ms, &last_ms, now_ms,
                                                   memory_order_relaxed, memory_order_relaxed);
}

bool retry_budget_take(struct pool_worker *pw, bool is_again, bool is_slow)
{
    count_own(&pw->moves);
    if (afford(pw, is_again)) return true;
    if (!is_slow || !is_slow_ones_turn(pw)) return false;
    if (!is_again) atomic_fetch_add_explicit(&pw->pool->retries.retrying, 1, memory_order_release);
    return true;
}
