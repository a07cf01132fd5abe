#include "health/checker.h"

#include <string.h>

#define FIRST_GAP_MS 10

uint64_t check_first_ms(const struct check_conf *conf, uint32_t index, uint32_t count)
{
    uint64_t spread = conf->interval_ms * index / (count ? count : 1);
    uint64_t soon = (uint64_t)index * FIRST_GAP_MS;
    return soon < spread ? soon : spread;
}

uint64_t check_next_ms(const struct check_conf *conf, bool is_changing, struct rng *rng)
{
    uint64_t ms = conf->interval_ms;
    if (is_changing && conf->changing_ms < ms) ms = conf->changing_ms;
    return ms - rng_below(rng, (uint32_t)(ms / 10 + 1));
}

static void begin(struct check *c);

/* Whoever has waited longest is first. */
static void on_next(struct loop_task *t)
{
    struct checker *k = container_of(t, struct checker, next);
    struct list *link;
    while (k->running < CHECKS_AT_ONCE && (link = list_pop_front(&k->waiting)))
        begin(container_of(link, struct check, link));
}

/* Not at once: one that ends as it begins would let the next begin within it, and so on. */
static void let_next(struct checker *k)
{
    if (!list_is_empty(&k->waiting)) loop_defer(k->loop, &k->next);
}

static void arm_next(struct check *c)
{
    struct loop *l = c->checker->loop;
    uint64_t next_ms = c->started_ms + check_next_ms(c->conf, c->is_changing, &l->rng);
    uint64_t now_ms = loop_now_ms(l);
    loop_arm(l, &c->timer, next_ms > now_ms ? next_ms - now_ms : 1);
}

static void on_end(void *owner, const struct probe_verdict *v)
{
    struct check *c = owner;
    c->probe = NULL;
    c->checker->running--;
    c->is_changing = c->on_verdict(c, v);
    arm_next(c);
    let_next(c->checker);
}

static void begin(struct check *c)
{
    const struct probe_target target = { .to = &c->to,
                                         .conf = c->conf,
                                         .host = c->host,
                                         .tls = c->tls,
                                         .proxy_protocol = c->proxy_protocol,
                                         .on_end = on_end,
                                         .owner = c };
    c->started_ms = loop_now_ms(c->checker->loop);
    c->checker->running++;
    struct probe *p = probe_start(c->checker->loop, &target);
    if (p) c->probe = p;
}

static void on_timer(struct timer *t)
{
    struct check *c = container_of(t, struct check, timer);
    if (c->checker->running < CHECKS_AT_ONCE)
        begin(c);
    else
        list_push_back(&c->checker->waiting, &c->link);
}

static void set_target(struct check *c, const struct check_target *target)
{
    const struct check_conf *conf = target->conf;
    const struct address *other = target->other;
    c->conf = conf;
    c->tls = target->tls;
    bool is_introduced = !other && !conf->port && !check_is_of_datagrams(conf);
    c->proxy_protocol = is_introduced ? target->proxy_protocol : PROXY_PROTOCOL_OFF;
    c->to = other ? *other : *target->address;
    if (!other && conf->port && c->to.sa.any.sa_family == AF_INET)
        c->to.sa.in4.sin_port = htons((uint16_t)conf->port);
    if (!other && conf->port && c->to.sa.any.sa_family == AF_INET6)
        c->to.sa.in6.sin6_port = htons((uint16_t)conf->port);
    /* RFC 9110 7.2: what has no authority is asked by an empty Host, which some servers refuse. */
    if (c->to.sa.any.sa_family == AF_UNIX)
        memcpy(c->host, "localhost", sizeof("localhost"));
    else
        address_print(&c->to, c->host);
}

void checker_init(struct checker *k, struct loop *l)
{
    *k = (struct checker){ .loop = l };
    list_init(&k->waiting);
    loop_task_init(&k->next, on_next);
}

void checker_fini(struct checker *k)
{
    loop_cancel(&k->next);
}

void check_init(struct check *c, struct checker *k,
                bool (*on_verdict)(struct check *, const struct probe_verdict *))
{
    *c = (struct check){ .checker = k, .on_verdict = on_verdict };
    timer_init(&c->timer, on_timer);
    list_init(&c->link);
}

void check_start(struct check *c, const struct check_target *target, uint64_t first_ms)
{
    set_target(c, target);
    loop_arm(c->checker->loop, &c->timer, first_ms);
}

static void abandon(struct check *c)
{
    if (!c->probe) return;
    probe_cancel(c->probe);
    c->probe = NULL;
    c->checker->running--;
}

void check_change(struct check *c, const struct check_target *target)
{
    bool was_running = c->probe != NULL;
    abandon(c);
    set_target(c, target);
    /* One that waits for its turn, or for its time, has them still; but not for longer than it is configured now. */
    if (!list_is_empty(&c->link)) return;
    uint64_t now_ms = loop_now_ms(c->checker->loop), left_ms = 0;
    if (!was_running && timer_is_armed(&c->timer) && c->timer.deadline_ms > now_ms)
        left_ms = c->timer.deadline_ms - now_ms;
    uint64_t most_ms = check_next_ms(c->conf, c->is_changing, &c->checker->loop->rng);
    loop_arm(c->checker->loop, &c->timer, left_ms < most_ms ? left_ms : most_ms);
}

void check_stop(struct check *c)
{
    abandon(c);
    list_remove(&c->link);
    loop_disarm(c->checker->loop, &c->timer);
    let_next(c->checker);
}
