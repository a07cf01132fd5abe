#include "pool/ejection.h"

#include <stdio.h>
#include <stdlib.h>

#include "pool/pool_worker.h"

/* So many good answers more than bad ones, and who was ejected is as good as any other. */
#define TRIAL_GOOD 3

static struct server_answers sum_answers(const struct server *s)
{
    struct server_answers sum = { 0 };
    for (uint32_t i = 0; i < s->pool->worker_count; i++) {
        const struct server_worker *sw = &s->workers[i];
        sum.attempts += atomic_load_explicit(&sw->attempts, memory_order_relaxed);
        sum.faults += atomic_load_explicit(&sw->faults, memory_order_relaxed);
        sum.answers += atomic_load_explicit(&sw->answers, memory_order_relaxed);
        sum.waits += atomic_load_explicit(&sw->waits, memory_order_relaxed);
    }
    return sum;
}

/* The window with what has come since the last look. Counters wrap around: only differences count. */
static struct server_window look_at(const struct server *s)
{
    struct server_window w = s->window;
    struct server_answers now = sum_answers(s);
    w.attempts += (uint32_t)(now.attempts - w.seen.attempts);
    w.faults += (uint32_t)(now.faults - w.seen.faults);
    w.answers += (uint32_t)(now.answers - w.seen.answers);
    w.waits += (double)(now.waits - w.seen.waits) / 256;
    w.seen = now;
    return w;
}

void server_forget_answers(struct server *s)
{
    s->window = (struct server_window){ .seen = sum_answers(s) };
    for (int i = 0; i < FAULT_RUNS; i++) atomic_store_explicit(&s->runs[i], 0, memory_order_relaxed);
}

void pool_age_answers(struct pool *p)
{
    const struct roster *r = p->roster;
    if (!r->conf->ejection.is_enabled) return;
    for (uint32_t i = 0; i < r->count; i++) {
        struct server *s = r->places[i].server;
        struct server_window w = look_at(s);
        if (w.attempts - w.faults >= TRIAL_GOOD) s->state.is_on_trial = false;
        w.attempts *= EJECTION_KEEPS;
        w.faults *= EJECTION_KEEPS;
        w.answers *= EJECTION_KEEPS;
        w.waits *= EJECTION_KEEPS;
        s->window = w;
    }
}

static void fill(struct outlier_peer *peer, const struct roster_place *place)
{
    struct server *s = place->server;
    struct server_window w = look_at(s);
    peer->attempts = w.attempts;
    peer->faults = w.faults;
    peer->answers = w.answers;
    peer->waits = w.waits;
    for (int i = 0; i < FAULT_RUNS; i++)
        peer->runs[i] = atomic_load_explicit(&s->runs[i], memory_order_relaxed);
    peer->is_in = place->is_in_subset && server_is_usable(s);
    peer->is_on_trial = s->state.is_on_trial;
}

/* How many more may go. */
static uint32_t room_in(const struct roster *r)
{
    uint32_t count = 0, out = 0;
    for (uint32_t i = 0; i < r->count; i++) {
        count += r->places[i].is_in_subset;
        out += r->places[i].is_in_subset && !server_is_healthy(r->places[i].server);
    }
    uint32_t allowed = (uint32_t)((uint64_t)count * r->conf->ejection.max_ejected / 100);
    if (!allowed && count > 1 && r->conf->ejection.max_ejected) allowed = 1;
    return allowed > out ? allowed - out : 0;
}

static void eject(struct server *s, const struct outlier_finding *f, uint64_t now_ms)
{
    static const enum server_health_reason reasons[] = { [OUTLIER_TIMEOUTS] = SERVER_BY_TIMEOUTS,
                                                         [OUTLIER_GATEWAY] = SERVER_BY_GATEWAY_ERRORS,
                                                         [OUTLIER_ERRORS] = SERVER_BY_SERVER_ERRORS,
                                                         [OUTLIER_SHARE] = SERVER_BY_FAILURE_SHARE,
                                                         [OUTLIER_LATENCY] = SERVER_BY_LATENCY };
    static const char *const nouns[] = { [OUTLIER_TIMEOUTS] = "time-outs",
                                         [OUTLIER_GATEWAY] = "answers of 502 to 504 or that broke off",
                                         [OUTLIER_ERRORS] = "failures" };
    char words[SERVER_WORDS_MAX];
    if (f->kind == OUTLIER_SHARE)
        snprintf(words, sizeof(words), "%.0f %% of its attempts failed, and %.0f %% at the others' median",
                 f->own * 100, f->others * 100);
    else if (f->kind == OUTLIER_LATENCY)
        snprintf(words, sizeof(words), "its answers take %.0f ms, and %.1f ms at the others' median",
                 f->own / 1000, f->others / 1000);
    else
        snprintf(words, sizeof(words), "%u %s on end", f->run, nouns[f->kind]);
    server_eject(s, reasons[f->kind], words, now_ms);
}

static bool judge(struct pool *p, struct outlier_peer *peers, double *values, uint64_t now_ms)
{
    const struct roster *r = p->roster;
    struct outlier_look look;
    bool has_changed = false;
    for (uint32_t i = 0; i < r->count; i++) fill(&peers[i], &r->places[i]);
    outlier_look(&look, &r->conf->ejection, peers, r->count, values);
    uint32_t room = room_in(r);
    for (uint32_t i = 0; i < r->count; i++) {
        struct outlier_finding f;
        outlier_find(&look, i, &f);
        if (f.kind == OUTLIER_NONE) continue;
        if (!room) {
            p->ejections_denied++;
            continue;
        }
        room--;
        eject(r->places[i].server, &f, now_ms);
        has_changed = true;
    }
    return has_changed;
}

bool pool_judge_answers(struct pool *p, uint64_t now_ms)
{
    uint32_t count = p->roster->count;
    if (!p->roster->conf->ejection.is_enabled || count < 2) return false;
    struct outlier_peer *peers = calloc(count, sizeof(*peers));
    double *values = calloc(2 * (size_t)count, sizeof(*values));
    /* Without memory nobody is ejected; the next look tries again. */
    bool has_changed = peers && values && judge(p, peers, values, now_ms);
    free(peers);
    free(values);
    return has_changed;
}
