#include "proxy/round.h"

#include "proxy/exchange_steps.h"
#include "proxy/tcp.h"
#include "proxy/tunnel.h"
#include "proxy/udp_session.h"
#include "proxy/upgrade.h"

/* A close is some system calls; a look is a little memory from far away. */
#define CLOSE_COST 16u
#define LOOK_COST 1u
#define COST_A_TURN (ROUND_CLOSES * CLOSE_COST)

/* Each of these looks at one more, and says what that has cost; 0: there was none left. */

static void unpin_exchange(void *context, struct http_stream *s)
{
    uint32_t *cost = context;
    *cost += LOOK_COST;
    exchange_unpin(s->owner);
}

static void move_to_end(struct list *among, struct list *at)
{
    list_remove(at);
    list_push_back(among, at);
}

static uint32_t look_at_connection(struct listener_worker *lw)
{
    if (list_is_empty(&lw->connections)) return 0;
    struct http_conn *c = http_conn_at(lw->connections.next);
    uint32_t cost = LOOK_COST;
    if (c->round == lw->round.number) return 0;
    c->round = lw->round.number;
    move_to_end(&lw->connections, &c->link);
    c->ops->each_stream(c, unpin_exchange, &cost);
    if (!lw->round.is_leaving) return cost;
    http_conn_drain(c); /* which may end it, and others with it */
    return cost + CLOSE_COST;
}

static uint32_t look_at_tunnel(struct listener_worker *lw)
{
    if (list_is_empty(&lw->tunnels)) return 0;
    struct tunnel *t = container_of(lw->tunnels.next, struct tunnel, link);
    if (t->round == lw->round.number) return 0;
    t->round = lw->round.number;
    move_to_end(&lw->tunnels, &t->link);
    if (t->on_end == upgrade_on_tunnel_end)
        exchange_unpin(t->owner);
    else
        tcp_unpin(t);
    return LOOK_COST;
}

static uint32_t look_at_session(struct listener_worker *lw)
{
    struct udp_place *p = lw->udp ? udp_table_walk(&lw->udp->table) : NULL;
    if (!p) return 0;
    udp_session_unpin(udp_session_at(p));
    return LOOK_COST;
}

static uint32_t step(struct listener_worker *lw)
{
    switch ((enum round_stage)lw->round.stage) {
    case ROUND_CONNECTIONS: return look_at_connection(lw);
    case ROUND_TUNNELS: return look_at_tunnel(lw);
    case ROUND_DATAGRAMS: return look_at_session(lw);
    case ROUND_OVER: break;
    }
    return 0;
}

static void enter_next(struct listener_worker *lw)
{
    struct listener_round *r = &lw->round;
    r->stage = r->stage == ROUND_DATAGRAMS ? ROUND_OVER : r->stage + 1;
    if (r->stage == ROUND_OVER) r->is_leaving = false;
}

/* What is left of `cost`. */
static uint32_t go_on_at(struct listener_worker *lw, uint32_t cost)
{
    while (cost && lw->round.stage != ROUND_OVER) {
        uint32_t more = step(lw);
        if (!more) enter_next(lw);
        cost -= more < cost ? more : cost;
    }
    return cost;
}

static void go_on(struct loop_task *t)
{
    struct worker *w = container_of(container_of(t, struct round, task), struct worker, round);
    uint32_t cost = COST_A_TURN;
    for (struct list *at = w->listeners.next; at != &w->listeners && cost; at = at->next)
        cost = go_on_at(container_of(at, struct listener_worker, link), cost);
    if (!cost) loop_defer(&w->loop, t);
}

void round_init(struct round *r)
{
    loop_task_init(&r->task, go_on);
}

void round_begin(struct listener_worker *lw, bool is_leaving)
{
    struct round *r = &lw->worker->round;
    lw->round.number = ++r->number;
    lw->round.stage = ROUND_CONNECTIONS;
    if (is_leaving) lw->round.is_leaving = true;
    if (lw->udp) udp_table_walk_from_start(&lw->udp->table);
    loop_defer(&lw->worker->loop, &r->task);
}

void round_stop(struct round *r)
{
    loop_cancel(&r->task);
}
