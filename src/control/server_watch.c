#include "control/server_watch.h"

#include <stdlib.h>

#include "base/log.h"
#include "pool/ejection.h"
#include "proxy/change.h"

/* How often it is looked whether an ejected server may come back. */
#define READMIT_LOOK_MS 100
/* How often it is looked whether warming servers are to get more weight: as often as that may be (pool_warm_up()). */
#define WARM_LOOK_MS 250

/* Failures are looked at when they come, but not more often than this: where all fail, they come without end. */
#define SUSPECT_LOOK_MS 20

/* Workers are told of a change at once, but not more often than this: a set of thousands takes milliseconds to make, and where
 * one changes, others often do. */
#define PUBLISH_GAP_MS 50
#define STALE_MAX 16

struct server_watch {
    struct proxy *proxy;
    struct loop *loop;
    struct timer readmit_timer, warm_timer, answer_timer, suspect_timer;
    struct timer publish_timer;
    struct pool *stale[STALE_MAX]; /* that workers are still to be told of */
    uint32_t stale_count;
    uint64_t published_ms;
    uint64_t suspects_ms; /* when pools with failures were last looked at */
};

static void publish(struct server_watch *w, struct pool *p)
{
    char quoted[ERR_TEXT_MAX + 64];
    struct err err;
    if (pool_rebuild(p, &err) == 0)
        proxy_publish(w->proxy, p);
    else
        log_event(LOG_ERROR, "pool_rebuild_failed", "error=%s", log_quote(err.text, quoted, sizeof(quoted)));
}

/* A pool that no configuration has any more is told to nobody, and may be gone. */
static bool is_known(const struct server_watch *w, const struct pool *p)
{
    for (uint32_t i = 0; i < w->proxy->pool_count; i++)
        if (w->proxy->pools[i] == p) return true;
    return false;
}

static void publish_stale(struct server_watch *w)
{
    for (uint32_t i = 0; i < w->stale_count; i++)
        if (is_known(w, w->stale[i])) publish(w, w->stale[i]);
    w->stale_count = 0;
    w->published_ms = loop_now_ms(w->loop);
}

static void on_publish(struct timer *t)
{
    publish_stale(container_of(t, struct server_watch, publish_timer));
}

static void republish_pool(struct server_watch *w, struct pool *p)
{
    uint64_t now_ms = loop_now_ms(w->loop), next_ms = w->published_ms + PUBLISH_GAP_MS;
    uint32_t i = 0;
    while (i < w->stale_count && w->stale[i] != p) i++;
    if (i == STALE_MAX) publish_stale(w);
    if (i >= w->stale_count) w->stale[w->stale_count++] = p;
    if (next_ms <= now_ms)
        publish_stale(w);
    else if (!timer_is_armed(&w->publish_timer))
        loop_arm(w->loop, &w->publish_timer, next_ms - now_ms);
}

void server_watch_changed(void *watch, struct server *s)
{
    struct server_watch *w = watch;
    republish_pool(w, s->pool);
    loop_arm(w->loop, &w->readmit_timer, READMIT_LOOK_MS);
}

void server_watch_ejected(struct server_watch *w)
{
    loop_arm(w->loop, &w->readmit_timer, READMIT_LOOK_MS);
}

static void judge(struct server_watch *w, struct pool *p)
{
    if (!pool_judge_answers(p, loop_now_ms(w->loop))) return;
    republish_pool(w, p);
    loop_arm(w->loop, &w->readmit_timer, READMIT_LOOK_MS);
}

static uint64_t suspect_wait_ms(const struct server_watch *w)
{
    uint64_t next_ms = w->suspects_ms + SUSPECT_LOOK_MS, now_ms = loop_now_ms(w->loop);
    return next_ms > now_ms ? next_ms - now_ms : 0;
}

static void on_suspects(struct timer *t)
{
    struct server_watch *w = container_of(t, struct server_watch, suspect_timer);
    w->suspects_ms = loop_now_ms(w->loop);
    for (uint32_t i = 0; i < w->proxy->pool_count; i++) {
        struct pool *p = w->proxy->pools[i];
        if (p->is_suspected) judge(w, p);
        p->is_suspected = false;
    }
}

void server_watch_evidence(struct server_watch *w, struct server *s, enum server_evidence evidence)
{
    if (atomic_load(&s->is_retired)) return; /* workers may have forgotten its pool */
    if (evidence == SERVER_FAULTS) {
        s->pool->is_suspected = true;
        if (!timer_is_armed(&w->suspect_timer)) loop_arm(w->loop, &w->suspect_timer, suspect_wait_ms(w));
        return;
    }
    if (server_report(s, evidence, loop_now_ms(w->loop))) server_watch_changed(w, s);
}

static void on_readmit(struct timer *t)
{
    struct server_watch *w = container_of(t, struct server_watch, readmit_timer);
    bool has_ejected = false;
    for (uint32_t i = 0; i < w->proxy->pool_count; i++) {
        const struct pool *p = w->proxy->pools[i];
        for (uint32_t j = 0; j < p->roster->count; j++) {
            struct server *s = p->roster->places[j].server;
            if (server_readmit(s, loop_now_ms(w->loop))) republish_pool(w, s->pool);
            if (atomic_load(&s->health) == SERVER_EJECTED) has_ejected = true;
        }
    }
    if (has_ejected) loop_arm(w->loop, t, READMIT_LOOK_MS);
}

static void on_answer_look(struct timer *t)
{
    struct server_watch *w = container_of(t, struct server_watch, answer_timer);
    for (uint32_t i = 0; i < w->proxy->pool_count; i++) {
        judge(w, w->proxy->pools[i]);
        pool_age_answers(w->proxy->pools[i]);
    }
    loop_arm(w->loop, t, EJECTION_LOOK_MS);
}

static void on_warm_look(struct timer *t)
{
    struct server_watch *w = container_of(t, struct server_watch, warm_timer);
    for (uint32_t i = 0; i < w->proxy->pool_count; i++)
        if (pool_warm_up(w->proxy->pools[i], loop_now_ms(w->loop))) republish_pool(w, w->proxy->pools[i]);
    loop_arm(w->loop, t, WARM_LOOK_MS);
}

/* Servers may begin to warm at any time, by evidence or by the operator's word: only without any warm-up is there
 * nothing to look after. */
void server_watch_warm_ups(struct server_watch *w)
{
    for (uint32_t i = 0; i < w->proxy->pool_count; i++) {
        if (!w->proxy->pools[i]->roster->conf->warmup_ms) continue;
        loop_arm(w->loop, &w->warm_timer, WARM_LOOK_MS);
        return;
    }
}

int server_watch_new(struct server_watch **out, struct proxy *proxy, struct loop *loop, struct err *err)
{
    struct server_watch *w = calloc(1, sizeof(*w));
    if (!w) return err_set(err, "out of memory for what watches servers");
    w->proxy = proxy;
    w->loop = loop;
    timer_init(&w->readmit_timer, on_readmit);
    timer_init(&w->warm_timer, on_warm_look);
    timer_init(&w->answer_timer, on_answer_look);
    timer_init(&w->suspect_timer, on_suspects);
    timer_init(&w->publish_timer, on_publish);
    loop_arm(loop, &w->answer_timer, EJECTION_LOOK_MS);
    *out = w;
    return 0;
}

void server_watch_free(struct server_watch *w)
{
    if (!w) return;
    loop_disarm(w->loop, &w->readmit_timer);
    loop_disarm(w->loop, &w->warm_timer);
    loop_disarm(w->loop, &w->answer_timer);
    loop_disarm(w->loop, &w->suspect_timer);
    loop_disarm(w->loop, &w->publish_timer);
    free(w);
}
