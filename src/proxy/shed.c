#include "proxy/shed.h"

#include "proxy/exchange.h"
#include "proxy/worker.h"

/* Where nobody holds much, it is not looked for more often. */
#define SHED_EVERY_MS 10u
/* Nor before anybody is refused: all connections are looked at, and mostly for nothing. */
#define SOON_EVERY_MS 1000u
/* Who holds less than this is not to blame. */
#define HELD_MIN (32u << 10)
/* So much of the budget ends in a turn, as far as is known: what it comes to shows when the turn is over. */
#define SHARE 4u

/* A response that cannot go on waits where it comes from. */
static void add_response(void *context, struct http_stream *s)
{
    const struct exchange *x = s->owner;
    uint64_t *held = context;
    if (x->attempt.stream) *held += x->attempt.stream->held;
}

static uint64_t held_by(struct http_conn *c)
{
    uint64_t held = c->ops->held ? c->ops->held(c) : 0;
    c->ops->each_stream(c, add_response, &held);
    return held;
}

static bool is_of_no_use(const struct http_conn *c)
{
    return c->ops->is_of_no_use && c->ops->is_of_no_use(c);
}

/* Of those that are of use to nobody, or of all. */
static uint64_t most_held(const struct worker *w, bool of_all)
{
    uint64_t most = 0;
    for (const struct list *l = w->listeners.next; l != &w->listeners; l = l->next) {
        const struct listener_worker *lw = container_of(l, struct listener_worker, link);
        for (const struct list *at = lw->connections.next; at != &lw->connections; at = at->next) {
            struct http_conn *c = http_conn_at(at);
            uint64_t held = of_all || is_of_no_use(c) ? held_by(c) : 0;
            if (held > most) most = held;
        }
    }
    return most;
}

static void end(struct http_conn *c)
{
    if (c->client.version != HTTP_VERSION_2) {
        http_conn_kill(c, END_NO_MEMORY); /* of which its exchange tells */
        return;
    }
    c->end = END_HTTP2_MEMORY;
    c->transport.fault_words = "it held the most while memory was short";
    http_conn_kill(c, END_HTTP2_MEMORY);
}

/* Once begun, until there is room for those who come in the meantime; of those that are of no use, for what the rest of them has
 * asked for already, too. */
static bool is_room_again(const struct block_pool *pool, bool of_all)
{
    uint64_t used = atomic_load_explicit(&pool->budget->used, memory_order_relaxed),
             limit = pool->budget->limit;
    return used <= (of_all ? limit / 4 * 3 : limit / 3 * 2) + pool->idle_bytes;
}

/* Those that hold more than half of `most`. */
static void end_those(struct worker *w, uint64_t most, bool of_all)
{
    uint64_t left = w->loop.blocks.budget->limit / SHARE;
    for (struct list *l = w->listeners.next; l != &w->listeners; l = l->next) {
        struct listener_worker *lw = container_of(l, struct listener_worker, link);
        struct list *next;
        for (struct list *at = lw->connections.next; at != &lw->connections && left; at = next) {
            struct http_conn *c = http_conn_at(at);
            uint64_t held = of_all || is_of_no_use(c) ? held_by(c) : 0;
            next = at->next;
            if (held <= most / 2 || held < HELD_MIN) continue;
            left -= held < left ? held : left;
            end(c);
            if (list_is_empty(next))
                break; /* it ended with this one; the others have their turn in the next */
        }
    }
}

static void run(struct loop_task *t)
{
    struct worker *w = container_of(t, struct worker, shed.task);
    bool of_all = false;
    uint64_t most = is_room_again(&w->loop.blocks, false) ? 0 : most_held(w, false);
    if (most < HELD_MIN && w->shed.is_refused && !is_room_again(&w->loop.blocks, true))
        most = most_held(w, of_all = true);
    if (most < HELD_MIN) {
        if (!w->shed.is_refused) w->shed.soon_again_ms = loop_now_ms(&w->loop) + SOON_EVERY_MS;
        w->shed.is_refused = false;
        return;
    }
    loop_defer(&w->loop, t); /* in the next turn what ended has given its memory back */
    end_those(w, most, of_all);
}

void shed_init(struct shed *s)
{
    loop_task_init(&s->task, run);
}

void shed_fini(struct shed *s)
{
    loop_cancel(&s->task);
}

static void ask(struct worker *w, uint64_t now)
{
    w->shed.again_ms = now + SHED_EVERY_MS;
    loop_defer(&w->loop, &w->shed.task);
}

void shed_ask(struct worker *w)
{
    uint64_t now = loop_now_ms(&w->loop);
    if (now < w->shed.again_ms) return;
    w->shed.is_refused = true;
    ask(w, now);
}

void shed_ask_soon(struct worker *w)
{
    uint64_t now = loop_now_ms(&w->loop);
    if (now < w->shed.again_ms || now < w->shed.soon_again_ms) return;
    ask(w, now);
}
