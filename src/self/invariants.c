#include "self/invariants.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/listener.h"
#include "proxy/site.h"
#include "proxy/stock.h"

/* What a worker is asked; its own until it has answered. */
struct worker_question {
    struct invariants *invariants;
    struct worker *worker;
    struct loop_task task, again;
    uint64_t round;
    struct worker_stock found;
    struct invariant_sum sums[INVARIANT_COUNT];
};

struct invariants {
    struct invariants_options o;
    struct worker_question *questions; /* one for each worker; NULL before the first round */
    uint64_t round;
    uint32_t waits_for,
        generation; /* waits_for: workers that have not answered, 0: no round goes on; generation: at its beginning */
    bool is_stopped;
    /* The first `asking` of them wait for this round, the others came while it went on. */
    struct invariant_asker asked[INVARIANT_ASKERS_MAX];
    uint32_t asked_count, asking;
};

/* what all workers share */

struct summing {
    const struct invariants *v;
    const struct proxy *proxy;
    struct invariant_report *report;
    struct invariant_place place;
};

static void judge(const struct summing *s, enum invariant which, uint64_t counted, uint64_t found,
                  uint64_t moved)
{
    int64_t may_differ = moved > INT64_MAX ? INT64_MAX : (int64_t)moved;
    invariant_add(&s->report->sums[which], (int64_t)counted, (int64_t)found, may_differ, &s->place);
    if (moved) s->report->is_at_rest = false;
}

/* Workers that have begun another turn since they looked. */
static bool has_turned(const struct invariants *v)
{
    for (uint32_t i = 0; i < v->o.proxy->worker_count; i++) {
        const struct worker_question *q = &v->questions[i];
        if (__atomic_load_n(&q->worker->loop.turns, __ATOMIC_ACQUIRE) != q->found.turn) return true;
    }
    return false;
}

static uint64_t moves_since(const _Atomic uint64_t *moves, uint64_t before)
{
    return atomic_load_explicit(moves, memory_order_acquire) - before;
}

/* What is counted is read before the moves: whoever has changed it has said so before. A worker that did not come by it has said
 * nothing of it: it is new there. */
static void sum_server(struct summing *s, const struct server *server)
{
    uint64_t in_flight = atomic_load(&server->peer.in_flight),
             open = atomic_load(&server->peer.open_connections);
    uint64_t slots = 0, connections = 0, moved = 0;
    for (uint32_t i = 0; i < s->proxy->worker_count; i++) {
        const struct server_worker *sw = &server->workers[i];
        if (sw->stock.round != s->v->round) {
            moved = UINT64_MAX;
            break;
        }
        slots += sw->stock.slots + sw->stock.sent - sw->stock.received;
        connections += sw->stock.connections;
        moved += moves_since(&sw->moves, sw->stock.moves);
    }
    s->place.server = server->name;
    judge(s, INVARIANT_SERVER_SLOTS, in_flight, slots, moved);
    judge(s, INVARIANT_SERVER_CONNECTIONS, open, connections, moved);
    s->place.server = NULL;
}

/* Slots that are on their way: sent by one worker, not received by another yet. False: the worker did not look at one. */
static bool add_under_way(const struct summing *s, const struct roster *r, uint32_t worker, uint64_t *sum)
{
    for (uint32_t i = 0; i < r->count; i++) {
        const struct server_stock *found = &r->places[i].server->workers[worker].stock;
        if (found->round != s->v->round) return false;
        *sum += found->sent - found->received;
    }
    return true;
}

static void sum_pool(struct summing *s, const struct pool *pool)
{
    uint64_t retrying = atomic_load(&pool->retries.retrying), promised = 0, on_their_way = 0, drawing = 0,
             moved = 0;
    s->place.pool = pool->name;
    for (uint32_t i = 0; i < s->proxy->worker_count; i++)
        if (pool->workers[i]) promised += atomic_load(&pool->workers[i]->promised);
    for (uint32_t i = 0; i < s->proxy->worker_count; i++) {
        const struct pool_worker *pw = pool->workers[i];
        if (!pw || pw->stock.round != s->v->round || !add_under_way(s, pool->roster, i, &on_their_way)) {
            moved = UINT64_MAX;
            break;
        }
        on_their_way += pw->stock.handed;
        drawing += pw->stock.retrying;
        moved += moves_since(&pw->moves, pw->stock.moves);
    }
    judge(s, INVARIANT_RETRYING, retrying, drawing, moved);
    judge(s, INVARIANT_PROMISES, promised, on_their_way, moved);
    for (uint32_t i = 0; i < pool->roster->count; i++) sum_server(s, pool->roster->places[i].server);
    s->place.pool = NULL;
}

static void sum_listener(struct summing *s, const struct listener *l)
{
    uint64_t connections = atomic_load(&l->connections), opened = 0, closed = 0, moved = 0;
    for (uint32_t i = 0; i < s->proxy->worker_count; i++) {
        const struct listener_worker *lw = &l->workers[i];
        if (lw->stock.round != s->v->round) {
            moved = UINT64_MAX;
            break;
        }
        opened += lw->stock.opened;
        closed += lw->stock.closed;
        moved += moves_since(&lw->opened, lw->stock.opened) + moves_since(&lw->closed, lw->stock.closed);
    }
    s->place.listener = l->name;
    judge(s, INVARIANT_LISTENER_CONNECTIONS, connections, opened - closed, moved);
    s->place.listener = NULL;
}

static void sum_connections(const struct summing *s)
{
    uint64_t connections = atomic_load(&s->proxy->connections), found = 0, moved = 0;
    for (uint32_t i = 0; i < s->proxy->worker_count; i++) {
        const struct worker_question *q = &s->v->questions[i];
        found += q->found.opened - q->found.closed;
        moved += moves_since(&q->worker->connections_opened, q->found.opened) +
                 moves_since(&q->worker->connections_closed, q->found.closed);
    }
    judge(s, INVARIANT_ALL_CONNECTIONS, connections, found, moved);
}

static void sum_memory(const struct summing *s)
{
    const struct block_pool *own = &s->v->o.loop->blocks; /* of this thread, with a budget of its own */
    uint64_t used = atomic_load(&s->proxy->budget.used), drawn = 0;
    for (uint32_t i = 0; i < s->proxy->worker_count; i++) drawn += s->v->questions[i].found.drawn;
    judge(s, INVARIANT_MEMORY, used, drawn, has_turned(s->v) ? UINT64_MAX : 0);
    judge(s, INVARIANT_MEMORY, atomic_load(&own->budget->used), block_pool_drawn(own), 0);
}

/* Those that are made in the meantime, or on their way to workers, are not looked at. */
static void sum_site(struct summing *s, const struct site *site)
{
    struct invariant_report *r = s->report;
    uint32_t refs = atomic_load(&site->refs), views = atomic_load(&site->stock_views);
    uint32_t stragglers = atomic_load(&site->stragglers);
    bool is_in_force = site == s->proxy->site;
    bool is_sure = s->proxy->generation == s->v->generation && !has_turned(s->v);
    s->place.generation = site->generation;
    judge(s, INVARIANT_SITE_REFERENCES, refs, views + is_in_force, is_sure ? 0 : UINT64_MAX);
    judge(s, INVARIANT_STRAGGLERS, stragglers, atomic_load(&site->stock_stragglers),
          is_sure ? 0 : UINT64_MAX);
    s->place.generation = INVARIANT_NOWHERE;
    if (r->site_count == INVARIANT_SITES_MAX) {
        r->sites_left_out++;
        return;
    }
    r->sites[r->site_count++] = (struct invariant_site){ site->generation, refs, views, stragglers,
                                                         is_in_force };
}

static void sum_sites(struct summing *s)
{
    const struct list *older = &s->proxy->older;
    sum_site(s, s->proxy->site);
    for (const struct list *at = older->prev; at != older; at = at->prev)
        sum_site(s, container_of(at, struct site, link));
}

static void sum_up(const struct invariants *v, struct invariant_report *r)
{
    const struct proxy *p = v->o.proxy;
    struct summing s = { .v = v, .proxy = p, .report = r, .place = INVARIANT_ANYWHERE };
    r->is_at_rest = true;
    r->retiring = p->retirement.count;
    for (uint32_t i = 0; i < p->worker_count; i++)
        for (unsigned k = 0; k < INVARIANT_COUNT; k++) invariant_merge(&r->sums[k], &v->questions[i].sums[k]);
    for (uint32_t i = 0; i < p->pool_count; i++) sum_pool(&s, p->pools[i]);
    for (uint32_t i = 0; i < p->listener_count; i++) sum_listener(&s, p->listeners[i]);
    sum_connections(&s);
    sum_memory(&s);
    sum_sites(&s);
}

/* asking */

static void begin_round(struct invariants *v);

static void conclude(struct invariants *v)
{
    struct invariant_asker asked[INVARIANT_ASKERS_MAX];
    struct invariant_report r = { .is_at_rest = true };
    uint32_t count = v->asking;
    sum_up(v, &r);
    memcpy(asked, v->asked, sizeof(asked));
    v->asked_count -= count;
    memmove(v->asked, v->asked + count, v->asked_count * sizeof(v->asked[0]));
    v->asking = 0;
    for (uint32_t i = 0; i < count; i++) asked[i].tell(&asked[i], &r);
    if (v->asked_count && !v->waits_for) begin_round(v);
}

static void on_answer(void *reader, const struct mail *m)
{
    (void)reader;
    struct worker_question *q = m->object;
    struct invariants *v = q->invariants;
    if (v->is_stopped || --v->waits_for) return;
    conclude(v);
}

/* On the worker's thread, like the next. */
static void take_stock(struct loop_task *t)
{
    struct worker_question *q = container_of(t, struct worker_question, task);
    struct mail m = { .deliver = on_answer, .object = q };
    for (unsigned i = 0; i < INVARIANT_COUNT; i++) q->sums[i] = (struct invariant_sum){ 0 };
    stock_take(q->worker, q->round, &q->found, q->sums);
    /* A full box: once more at the end of the next turn, which comes at once. */
    if (!mailbox_post(q->invariants->o.control, &m)) loop_defer(&q->worker->loop, &q->again);
}

static void look_again(struct loop_task *t)
{
    struct worker_question *q = container_of(t, struct worker_question, again);
    loop_at_end(&q->worker->loop, &q->task);
}

static void on_question(void *reader, const struct mail *m)
{
    struct worker *w = reader;
    struct worker_question *q = m->object;
    loop_at_end(&w->loop, &q->task);
}

static bool make_questions(struct invariants *v)
{
    struct proxy *p = v->o.proxy;
    if (v->questions) return true;
    v->questions = calloc(p->worker_count, sizeof(*v->questions));
    if (!v->questions) return false;
    for (uint32_t i = 0; i < p->worker_count; i++) {
        v->questions[i].invariants = v;
        v->questions[i].worker = p->workers[i];
        loop_task_init(&v->questions[i].task, take_stock);
        loop_task_init(&v->questions[i].again, look_again);
    }
    return true;
}

static void forget_site(struct site *site)
{
    atomic_store(&site->stock_views, 0);
    atomic_store(&site->stock_stragglers, 0);
}

static void begin_round(struct invariants *v)
{
    struct proxy *p = v->o.proxy;
    v->round++;
    v->asking = v->asked_count;
    v->generation = p->generation;
    v->waits_for = p->worker_count;
    forget_site(p->site);
    for (struct list *at = p->older.next; at != &p->older; at = at->next)
        forget_site(container_of(at, struct site, link));
    for (uint32_t i = 0; i < p->worker_count; i++) {
        struct worker_question *q = &v->questions[i];
        struct mail m = { .deliver = on_question, .object = q };
        q->round = v->round;
        worker_post(q->worker, &m);
    }
}

bool invariants_ask(struct invariants *v, const struct invariant_asker *who)
{
    if (v->is_stopped || v->asked_count == INVARIANT_ASKERS_MAX || !make_questions(v)) return false;
    v->asked[v->asked_count++] = *who;
    if (!v->waits_for) begin_round(v);
    return true;
}

int invariants_new(struct invariants **out, const struct invariants_options *o, struct err *err)
{
    struct invariants *v = calloc(1, sizeof(*v));
    if (!v) return err_set(err, "out of memory for what looks whether all sums hold");
    v->o = *o;
    *out = v;
    return 0;
}

void invariants_stop(struct invariants *v)
{
    if (v) v->is_stopped = true;
}

void invariants_free(struct invariants *v)
{
    if (!v) return;
    free(v->questions);
    free(v);
}
