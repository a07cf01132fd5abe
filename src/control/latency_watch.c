#include "control/latency_watch.h"

#include <stdlib.h>

#include "net/loop.h"

#define ROUND_MS 1000u
/* A server's histogram is some 14 KiB for each worker to read. */
#define PIECE_SERVERS 16u

struct latency_watch {
    struct proxy *proxy;
    struct loop *loop;
    struct timer timer;
    uint64_t begun_ms;    /* the round */
    uint32_t pool, place; /* the next to be looked at */
};

/* Another configuration may have come since the last piece: then some are left out of this round, or looked at twice. False:
 * there are no more. */
static bool step(struct latency_watch *w, uint32_t *looked)
{
    if (w->pool >= w->proxy->pool_count) return false;
    struct pool *p = w->proxy->pools[w->pool];
    if (pool_latency_is_wanted(&p->latency) && w->place < p->roster->count) {
        server_look_at_latency(p->roster->places[w->place++].server, w->proxy->metrics);
        (*looked)++;
        return true;
    }
    if (pool_latency_is_wanted(&p->latency)) pool_settle_latency(p);
    w->pool++;
    w->place = 0;
    return true;
}

static void on_timer(struct timer *t)
{
    struct latency_watch *w = container_of(t, struct latency_watch, timer);
    uint64_t now_ms = loop_now_ms(w->loop);
    uint32_t looked = 0;
    if (!w->pool && !w->place) w->begun_ms = now_ms;
    while (looked < PIECE_SERVERS)
        if (!step(w, &looked)) {
            uint64_t took_ms = now_ms - w->begun_ms;
            w->pool = w->place = 0;
            loop_arm(w->loop, t, took_ms < ROUND_MS ? ROUND_MS - took_ms : 1);
            return;
        }
    loop_arm(w->loop, t, 1);
}

int latency_watch_new(struct latency_watch **out, struct proxy *proxy, struct loop *loop, struct err *err)
{
    struct latency_watch *w = calloc(1, sizeof(*w));
    if (!w) return err_set(err, "out of memory");
    *w = (struct latency_watch){ .proxy = proxy, .loop = loop };
    timer_init(&w->timer, on_timer);
    loop_arm(loop, &w->timer, ROUND_MS);
    *out = w;
    return 0;
}

void latency_watch_stop(struct latency_watch *w)
{
    if (w) loop_disarm(w->loop, &w->timer);
}

void latency_watch_free(struct latency_watch *w)
{
    free(w);
}
