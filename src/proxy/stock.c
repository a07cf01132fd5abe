#include "proxy/stock.h"

#include "base/count.h"
#include "proxy/census.h"
#include "proxy/exchange_steps.h"
#include "proxy/listener.h"
#include "proxy/mirror.h"
#include "proxy/site.h"
#include "proxy/tcp.h"
#include "record/flight_ring.h"

static struct listener_stock *of_listener(const struct stock *s, struct listener_worker *lw)
{
    if (lw->stock.round != s->round)
        lw->stock =
            (struct listener_stock){ .round = s->round,
                                     .opened = atomic_load_explicit(&lw->opened, memory_order_relaxed),
                                     .closed = atomic_load_explicit(&lw->closed, memory_order_relaxed) };
    return &lw->stock;
}

static struct pool_stock *of_pool(const struct stock *s, struct pool_worker *pw)
{
    if (pw->stock.round != s->round)
        pw->stock = (struct pool_stock){ .round = s->round,
                                         .moves = atomic_load_explicit(&pw->moves, memory_order_relaxed) };
    return &pw->stock;
}

static struct server_stock *of_server(const struct stock *s, struct server_worker *sw)
{
    if (sw->stock.round != s->round)
        sw->stock = (struct server_stock){ .round = s->round,
                                           .slots = sw->slots,
                                           .sent = sw->slots_sent,
                                           .received = sw->slots_received,
                                           .moves = atomic_load_explicit(&sw->moves, memory_order_relaxed) };
    return &sw->stock;
}

/* what the walk comes by */

void stock_server_view(struct stock *s, struct pool_view *view)
{
    if (!view) return;
    if (view->stock_round != s->round) {
        view->stock_round = s->round;
        view->stock_users = 0;
        view->stock_next = s->views;
        s->views = view;
    }
    view->stock_users++;
}

/* As above, with nobody who has it yet. */
static void see_site_view(struct stock *s, struct site_view *view)
{
    if (view->stock_round == s->round) return;
    view->stock_round = s->round;
    view->stock_users = 0;
    view->stock_next = s->site_views;
    s->site_views = view;
    atomic_fetch_add_explicit(&view->site->stock_views, 1, memory_order_relaxed);
}

static void use_site_view(struct stock *s, struct site_view *view)
{
    if (!view) return;
    see_site_view(s, view);
    view->stock_users++;
}

void stock_attempt(struct stock *s, const struct attempt *a)
{
    if (a->server) of_server(s, server_worker_of(a->pool, a->server))->attempts++;
}

void stock_server_connections(struct stock *s, struct server_worker *sw, uint64_t connections)
{
    of_server(s, sw)->connections += (uint32_t)connections;
    of_pool(s, sw->pool)->connections += (uint32_t)connections; /* of servers, too, that it has no more */
}

void stock_exchange(struct stock *s, const struct exchange *x)
{
    of_listener(s, x->listener)->exchanges++;
    use_site_view(s, x->site);
    stock_server_view(s, x->view);
    if (x->straggles) atomic_fetch_add_explicit(&x->straggles->stock_stragglers, 1, memory_order_relaxed);
    s->open_files += x->file && x->file->is_counted;
    if (!x->pool_conf) return;
    struct pool_stock *pool = of_pool(s, x->pool);
    pool->requests++;
    pool->retrying += x->is_retrying;
    pool->waiting += !list_is_empty(&x->waiter.link);
}

void stock_session(struct stock *s, const struct tcp_reach *r)
{
    use_site_view(s, r->site);
    stock_server_view(s, r->view);
    stock_attempt(s, r->attempt);
    /* Its connection is its own, and counted as long as the attempt is in hand. */
    if (r->attempt->server)
        stock_server_connections(s, server_worker_of(r->attempt->pool, r->attempt->server), 1);
    of_pool(s, r->pool)->waiting += r->is_waiting;
}

void stock_mirror(struct stock *s, const struct mirror_reach *m)
{
    use_site_view(s, m->site);
    stock_server_view(s, m->view);
}

void stock_client(struct stock *s, struct listener_worker *lw, bool is_counted)
{
    of_listener(s, lw)->connections++;
    s->counted_clients += is_counted;
}

/* beside what is counted */

struct judging {
    const struct stock *stock;
    struct invariant_sum *sums;
    struct invariant_place place;
};

static void judge(const struct judging *j, enum invariant which, uint64_t counted, uint64_t found)
{
    invariant_add(&j->sums[which], (int64_t)counted, (int64_t)found, 0, &j->place);
}

static void judge_listener(struct judging *j, struct listener_worker *lw)
{
    const struct listener_stock *found = of_listener(j->stock, lw);
    j->place.listener = lw->listener->name;
    judge(j, INVARIANT_EXCHANGES, lw->begun - lw->ended, found->exchanges);
    judge(j, INVARIANT_CLIENT_CONNECTIONS, found->opened - found->closed - lw->departed + lw->arrived,
          found->connections);
    j->place.listener = NULL;
}

static uint32_t length_of(const struct list *l)
{
    uint32_t length = 0;
    for (const struct list *at = l->next; at != l; at = at->next) length++;
    return length;
}

static void judge_servers(struct judging *j, struct pool_worker *pw)
{
    const struct roster *r = pw->view->set->roster;
    struct pool_stock *pool = of_pool(j->stock, pw);
    for (uint32_t i = 0; i < r->count; i++) {
        struct server_worker *sw = server_worker_of(pw, r->places[i].server);
        const struct server_stock *found = of_server(j->stock, sw);
        j->place.server = sw->server->name;
        judge(j, INVARIANT_SLOTS, sw->slots, found->attempts + sw->handed);
        judge(j, INVARIANT_IDLE_CONNECTIONS, atomic_load_explicit(&sw->idle_count, memory_order_relaxed),
              length_of(&sw->idle));
        pool->handed += sw->handed;
    }
    j->place.server = NULL;
}

static void judge_pool(struct judging *j, struct pool_worker *pw)
{
    const struct pool_stock *found = of_pool(j->stock, pw);
    uint32_t queued = length_of(&pw->displaced);
    for (uint32_t i = 0; i < POOL_CLASSES; i++) queued += length_of(&pw->queues[i]);
    j->place.pool = pw->pool->name;
    judge_servers(j, pw);
    judge(j, INVARIANT_POOL_CONNECTIONS, count_get(&pw->open), found->connections);
    judge(j, INVARIANT_REQUESTS,
          atomic_load_explicit(&pw->tally.begun, memory_order_relaxed) -
              atomic_load_explicit(&pw->tally.ended, memory_order_relaxed),
          found->requests);
    judge(j, INVARIANT_QUEUE, pw->queue_length, queued);
    judge(j, INVARIANT_WAITERS, queued, found->waiting);
    /* One that nobody has is walked by nobody. */
    if (pw->view->stock_round != j->stock->round) judge(j, INVARIANT_POOL_VIEWS, pw->view->users, 0);
    j->place.pool = NULL;
}

static void judge_views(struct judging *j)
{
    for (const struct pool_view *v = j->stock->views; v; v = v->stock_next) {
        j->place.pool = v->set->roster->pool->name;
        judge(j, INVARIANT_POOL_VIEWS, v->users, v->stock_users);
    }
    j->place.pool = NULL;
    for (const struct site_view *v = j->stock->site_views; v; v = v->stock_next) {
        j->place.generation = v->site->generation;
        judge(j, INVARIANT_SITE_VIEWS, v->users, v->stock_users);
    }
    j->place.generation = INVARIANT_NOWHERE;
}

static void judge_memory(const struct judging *j, const struct worker *w, const struct census *c)
{
    static const enum invariant of_census[CENSUS_KINDS] = {
        [CENSUS_EXCHANGES] = INVARIANT_EXCHANGE_OBJECTS,
        [CENSUS_TUNNELS] = INVARIANT_TUNNEL_OBJECTS,
        [CENSUS_CLIENT_CONNECTIONS] = INVARIANT_CLIENT_OBJECTS,
        [CENSUS_SERVER_CONNECTIONS] = INVARIANT_SERVER_OBJECTS,
        [CENSUS_BLOCKS] = INVARIANT_BLOCKS,
        [CENSUS_TIMERS] = INVARIANT_TIMERS,
    };
    const struct encoder_pool *encoders = &w->compression.encoders;
    for (unsigned kind = 0; kind < CENSUS_KINDS; kind++)
        judge(j, of_census[kind], c->counted[kind], c->reached[kind]);
    judge(j, INVARIANT_KEPT_MEMORY, w->loop.blocks.idle_bytes, block_pool_find_idle(&w->loop.blocks));
    judge(j, INVARIANT_OUTSIDE_MEMORY, w->loop.blocks.outside_bytes,
          (uint64_t)w->tls.charged * TLS_SSL_BYTES + (uint64_t)w->tls.sessions.count * TLS_SESSION_BYTES +
              encoders->used_bytes + encoders->idle_bytes);
}

void stock_take(struct worker *w, uint64_t round, struct worker_stock *found,
                struct invariant_sum sums[INVARIANT_COUNT])
{
    struct stock stock = { .worker = w, .round = round };
    struct census census = { .stock = &stock };
    struct judging j = { .stock = &stock, .sums = sums, .place = INVARIANT_ANYWHERE };
    see_site_view(&stock, w->site);
    for (struct list *at = w->listeners.next; at != &w->listeners; at = at->next)
        use_site_view(&stock, container_of(at, struct listener_worker, link)->view);
    census_take(w, &census);
    j.place.worker = w->index;
    for (struct list *at = w->listeners.next; at != &w->listeners; at = at->next)
        judge_listener(&j, container_of(at, struct listener_worker, link));
    for (struct list *at = w->pools.next; at != &w->pools; at = at->next)
        judge_pool(&j, container_of(at, struct pool_worker, link));
    judge_views(&j);
    judge_memory(&j, w, &census);
    judge(&j, INVARIANT_RECORDS, w->recorded, flight_written(w->flights));
    judge(&j, INVARIANT_OPEN_FILES, w->open_files, stock.open_files);
    judge(&j, INVARIANT_CLIENT_COUNTS, count_get(&w->counted_clients), stock.counted_clients);
    *found = (struct worker_stock){
        .turn = w->loop.turns,
        .drawn = block_pool_drawn(&w->loop.blocks),
        .opened = atomic_load_explicit(&w->connections_opened, memory_order_relaxed),
        .closed = atomic_load_explicit(&w->connections_closed, memory_order_relaxed),
    };
}
