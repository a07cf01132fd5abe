#include "control/drain.h"

#include "base/count.h"
#include "base/log.h"
#include "proxy/change.h"
#include "proxy/worker.h"
#include "proxy/worker_life.h"

#define LOOK_MS 20u
#define WORD_NS NS_PER_S
#define LINE_NS (5 * NS_PER_S)
/* Where somebody else takes the new connections, clients with an idle one have so long for a request that tells them. */
#define IDLE_NS (2 * NS_PER_S)

/* Who has not left may still hand a connection to one that is idle. */
static bool is_idle(const struct drain *d)
{
    const struct proxy *p = d->proxy;
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (!atomic_load(&p->workers[i]->has_left)) return false;
    for (uint32_t i = 0; i < p->worker_count; i++)
        if (!worker_is_idle(p->workers[i])) return false;
    return d->may_end(d->context);
}

static void count(const struct drain *d, struct drain_left *out)
{
    const struct proxy *p = d->proxy;
    uint64_t now_ns = d->loop->now_ns;
    *out = (struct drain_left){ .since_ms = (now_ns - p->drain_since_ns) / NS_PER_MS };
    if (now_ns < p->drain_until_ns) out->left_ms = (p->drain_until_ns - now_ns) / NS_PER_MS;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        const struct worker_live *live = &p->workers[i]->live;
        out->exchanges += count_get(&live->exchanges);
        out->tunnels += count_get(&live->tunnels);
        out->client_connections += count_get(&live->client_connections);
    }
}

static void say(const struct drain *d, const char *event)
{
    struct drain_left left;
    count(d, &left);
    log_event(LOG_INFO, event, "since_ms=%llu left_ms=%llu exchanges=%u tunnels=%u client_connections=%u",
              (unsigned long long)left.since_ms, (unsigned long long)left.left_ms, left.exchanges,
              left.tunnels, left.client_connections);
}

static void tell_workers(const struct drain *d)
{
    for (uint32_t i = 0; i < d->proxy->worker_count; i++) worker_drain(d->proxy->workers[i], d->keeps_idle);
}

static void look(struct drain *d)
{
    uint64_t now_ns = d->loop->now_ns;
    struct drain_left left;
    if (is_idle(d) || now_ns >= d->proxy->drain_until_ns) {
        say(d, "drained");
        d->on_end(d->context);
        return;
    }
    if (d->keeps_idle && now_ns >= d->idle_until_ns) {
        d->keeps_idle = false;
        tell_workers(d);
    }
    if (now_ns >= d->next_word_ns) {
        count(d, &left);
        d->on_word(d->context, &left);
        d->next_word_ns = now_ns + WORD_NS;
    }
    if (now_ns >= d->next_line_ns) {
        say(d, "drain_goes_on");
        d->next_line_ns += d->line_every_ns;
    }
    loop_arm(d->loop, &d->timer, LOOK_MS);
}

static void on_look(struct timer *t)
{
    look(container_of(t, struct drain, timer));
}

void drain_begin(struct drain *d, uint64_t ms, bool is_shared)
{
    struct proxy *p = d->proxy;
    uint64_t now_ns = d->loop->now_ns, ns = ms * NS_PER_MS;
    timer_init(&d->timer, on_look);
    p->drain_since_ns = now_ns;
    p->drain_until_ns = now_ns + ns;
    atomic_store(&p->is_draining, true);
    d->keeps_idle = is_shared;
    d->idle_until_ns = now_ns + (ns / 2 < IDLE_NS ? ns / 2 : IDLE_NS);
    d->line_every_ns = ns / 4 < LINE_NS ? ns / 4 : LINE_NS; /* also where there is little time */
    d->next_line_ns = now_ns + d->line_every_ns;
    log_event(LOG_INFO, "draining", "timeout_ms=%llu", (unsigned long long)ms);
    proxy_close_sockets(
        p); /* first: then what workers have of them is the last, and takes what still waits */
    tell_workers(d);
    say(d, "drain_begins");
    loop_arm(d->loop, &d->timer, LOOK_MS);
}

void drain_stop(struct drain *d)
{
    if (d->timer.on_timer) loop_disarm(d->loop, &d->timer);
}
