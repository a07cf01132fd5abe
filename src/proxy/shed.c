#include "proxy/shed.h"

#include "proxy/exchange.h"
#include "proxy/worker.h"

/* Where nobody holds much, it is not looked for more often. */
#define SHED_EVERY_MS 10u
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

static uint64_t most_held(const struct worker *w)
{
    uint64_t most = 0;
    for (const struct list *l = w->listeners.next; l != &w->listeners; l = l->next) {
        const struct listener_worker *lw = container_of(l, struct listener_worker, link);
        for (const struct list *at = lw->connections.next; at != &lw->connections; at = at->next) {
            uint64_t held = held_by(http_conn_at(at));
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

/* Once begun, until there is room for those who come in the meantime. */
static bool is_enough(const struct block_pool *pool)
{
    uint64_t used = atomic_load_explicit(&pool->budget->used, memory_order_relaxed);
    return used <= pool->budget->limit / 4 * 3 + pool->idle_bytes;
}

static void run(struct loop_task *t)
{
    struct worker *w = container_of(t, struct worker, shed.task);
    if (is_enough(&w->loop.blocks)) return;
    uint64_t most = most_held(w), left = w->loop.blocks.budget->limit / SHARE;
    if (most < HELD_MIN) return;
    loop_defer(&w->loop, t); /* in the next turn what ended has given its memory back */
    for (struct list *l = w->listeners.next; l != &w->listeners; l = l->next) {
        struct listener_worker *lw = container_of(l, struct listener_worker, link);
        struct list *next;
        for (struct list *at = lw->connections.next; at != &lw->connections && left; at = next) {
            uint64_t held = held_by(http_conn_at(at));
            next = at->next;
            if (held <= most / 2 || held < HELD_MIN) continue;
            left -= held < left ? held : left;
            end(http_conn_at(at));
            if (list_is_empty(next))
                break; /* it ended with this one; the others have their turn in the next */
        }
    }
}

void shed_init(struct shed *s)
{
    loop_task_init(&s->task, run);
}

void shed_fini(struct shed *s)
{
    loop_cancel(&s->task);
}

void shed_ask(struct worker *w)
{
    uint64_t now = loop_now_ms(&w->loop);
    if (now < w->shed.again_ms) return;
    w->shed.again_ms = now + SHED_EVERY_MS;
    loop_defer(&w->loop, &w->shed.task);
}
