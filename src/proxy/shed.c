#include "proxy/shed.h"

#include "proxy/exchange.h"
#include "proxy/turn.h"
#include "proxy/worker.h"

/* Where nobody holds much, it is not looked for more often. */
#define SHED_EVERY_MS 10u
/* Nor before anybody is refused: all connections are looked at, and mostly for nothing. */
#define SOON_EVERY_MS 1000u
/* Who does something that is of use and holds less than this is not to blame. */
#define HELD_MIN (32u << 10)
/* Idle and worth to end, before anybody who is busy: tables, and what came and waits. */
#define IDLE_HELD_MIN BLOCK_MIN
/* Who has been idle for no longer than this is about to ask again, and a head that began so lately is on its way. */
#define WAITED_MIN_MS 1000u
/* Who has taken nothing of an answer for this long, as far as the kernel tells: it does so by some hundred kilobytes. */
#define STALLED_MIN_MS 10000u
/* So much of the budget ends in a turn, as far as is known: what it comes to shows when the turn is over. */
#define SHARE 4u

/* What a connection holds; and its requests: since when, in loop milliseconds, nothing is taken of any answer, if that is so. */
struct shed_look {
    uint64_t held, stalled_since_ms;
    bool is_stalled, is_going_on;
};

static void look_at_response(void *context, struct http_stream *s)
{
    const struct exchange *x = s->owner;
    struct shed_look *l = context;
    uint64_t since = exchange_stalled_since_ms(x);
    if (x->attempt.stream)
        l->held += x->attempt.stream->held; /* a response that cannot go on waits where it comes from */
    if (!since) l->is_going_on = true;
    if (since > l->stalled_since_ms) l->stalled_since_ms = since;
}

static struct shed_look look_at(struct http_conn *c)
{
    struct shed_look l = { .held = c->ops->held ? c->ops->held(c) : 0 };
    c->ops->each_stream(c, look_at_response, &l);
    l.is_stalled = l.stalled_since_ms && !l.is_going_on;
    return l;
}

static bool is_of_no_use(const struct http_conn *c, const struct shed_look *l)
{
    (void)l;
    return c->ops->is_of_no_use && c->ops->is_of_no_use(c);
}

/* It opens, or has begun to ask or been about to for the first time, and does not go on. */
static bool is_stuck(const struct http_conn *c, const struct shed_look *l)
{
    (void)l;
    enum http_conn_use use = c->ops->use(c);
    return use == HTTP_CONN_BEGINNING || (use == HTTP_CONN_IDLE && !c->client.requests);
}

static bool is_idle(const struct http_conn *c, const struct shed_look *l)
{
    (void)l;
    return c->ops->use(c) == HTTP_CONN_IDLE && c->client.requests;
}

static bool is_stalled(const struct http_conn *c, const struct shed_look *l)
{
    (void)c;
    return l->is_stalled;
}

static bool is_anyone(const struct http_conn *c, const struct shed_look *l)
{
    (void)c, (void)l;
    return true;
}

/* Who ends, those first of which least is lost: of each only as far as those before were not enough. Of one kind those that hold
 * the most; or that have waited the longest, where there is a time that they have to have. */
static const struct shed_level {
    bool (*has)(const struct http_conn *c, const struct shed_look *l);
    uint64_t held_min, waited_min_ms;
    const char *words;
} levels[] = {
    { is_of_no_use, 0, 0, "it was of no use while memory was short" },
    { is_stuck, 0, WAITED_MIN_MS, "it did not go on while memory was short" },
    { is_idle, IDLE_HELD_MIN, WAITED_MIN_MS, "it was idle while memory was short" },
    { is_stalled, 0, STALLED_MIN_MS, "nothing of its answers was taken while memory was short" },
    { is_anyone, HELD_MIN, 0, "it held the most while memory was short" },
    { is_idle, 0, WAITED_MIN_MS, "it was idle while memory was short" },
};
#define LEVELS (sizeof(levels) / sizeof(*levels))
/* Before anybody is refused. */
static const struct shed_level soon = { is_of_no_use, HELD_MIN, 0,
                                        "it held the most while memory was short" };

/* How much of what the level goes by it has; 0: it is not one of them. */
static uint64_t rank(const struct shed_level *level, const struct http_conn *c, const struct shed_look *l)
{
    if (l->held < level->held_min || !level->has(c, l)) return 0;
    if (!level->waited_min_ms) return l->held + 1;
    uint64_t now = loop_now_ms(c->transport.loop),
             since = l->is_stalled ? l->stalled_since_ms : c->ops->since_ms(c);
    return since + level->waited_min_ms <= now ? now - since : 0;
}

/* The highest rank of each level. */
struct most {
    uint64_t of[LEVELS], soon;
};

static void note(const struct shed_level *level, const struct http_conn *c, const struct shed_look *l,
                 uint64_t *most)
{
    uint64_t now = rank(level, c, l);
    if (now > *most) *most = now;
}

static struct most find_most(const struct worker *w)
{
    struct most most = { 0 };
    for (const struct list *l = w->listeners.next; l != &w->listeners; l = l->next) {
        const struct listener_worker *lw = container_of(l, struct listener_worker, link);
        for (const struct list *at = lw->connections.next; at != &lw->connections; at = at->next) {
            struct http_conn *c = http_conn_at(at);
            struct shed_look seen = look_at(c);
            note(&soon, c, &seen, &most.soon);
            for (size_t i = 0; i < LEVELS; i++) note(&levels[i], c, &seen, &most.of[i]);
        }
    }
    return most;
}

static void end(struct http_conn *c, const struct shed_level *level)
{
    if (c->client.version == HTTP_VERSION_2) {
        c->end = END_HTTP2_MEMORY;
        c->transport.fault_words = level->words;
        http_conn_kill(c, END_HTTP2_MEMORY);
    } else if (level->has == is_idle) {
        http_conn_drain(c); /* as after its keep-alive time */
    } else {
        if (level->has == is_stuck) { /* else its exchange tells of it */
            if (c->transport.is_open) c->end = END_NO_MEMORY;
            c->transport.fault_words = level->words;
        }
        http_conn_kill(c, END_NO_MEMORY);
    }
}

/* Once begun, until there is room for those who come in the meantime; of those that are of no use, for what the rest of them has
 * asked for already, too. */
static bool is_room_again(const struct block_pool *pool, const struct shed_level *level)
{
    uint64_t used = atomic_load_explicit(&pool->budget->used, memory_order_relaxed),
             limit = pool->budget->limit;
    return used <= (level->has == is_of_no_use ? limit / 3 * 2 : limit / 4 * 3) + pool->idle_bytes;
}

/* Those that come to no less than half of `most`. */
static void end_those(struct worker *w, const struct shed_level *level, uint64_t most)
{
    uint64_t left = w->loop.blocks.budget->limit / SHARE;
    uint32_t closes = ROUND_CLOSES;
    for (struct list *l = w->listeners.next; l != &w->listeners; l = l->next) {
        struct listener_worker *lw = container_of(l, struct listener_worker, link);
        struct list *next;
        for (struct list *at = lw->connections.next; at != &lw->connections && left && closes; at = next) {
            struct http_conn *c = http_conn_at(at);
            struct shed_look seen = look_at(c);
            next = at->next;
            if (2 * rank(level, c, &seen) < most) continue;
            left -= seen.held < left ? seen.held : left;
            closes--;
            end(c, level);
            if (list_is_empty(next))
                break; /* it ended with this one; the others have their turn in the next */
        }
    }
}

/* Before anybody is refused. Whoever is of no use is kept waiting then (http/h2_turn.c), so that nothing of what those hold comes back by
 * itself, not even when their clients have gone: where nobody holds much, they end with the second look. */
static const struct shed_level *level_of_soon(const struct worker *w, const struct most *most,
                                              uint64_t *rank_most)
{
    bool is_any = !most->soon && w->shed.is_in_vain;
    *rank_most = is_any ? most->of[0] : most->soon;
    if (!*rank_most || is_room_again(&w->loop.blocks, &soon)) return NULL;
    return is_any ? &levels[0] : &soon;
}

/* NULL: nobody has to end, or nobody is there who could. */
static const struct shed_level *level_of(const struct worker *w, const struct most *most, uint64_t *rank_most)
{
    if (!w->shed.is_refused) return level_of_soon(w, most, rank_most);
    for (size_t i = 0; i < LEVELS; i++) {
        if (!most->of[i] || is_room_again(&w->loop.blocks, &levels[i])) continue;
        *rank_most = most->of[i];
        return &levels[i];
    }
    return NULL;
}

static void run(struct loop_task *t)
{
    struct worker *w = container_of(t, struct worker, shed.task);
    struct most most = find_most(w);
    uint64_t rank_most;
    const struct shed_level *level = level_of(w, &most, &rank_most);
    if (!level) {
        if (!w->shed.is_refused) {
            w->shed.soon_again_ms = loop_now_ms(&w->loop) + SOON_EVERY_MS;
            w->shed.is_in_vain = block_pool_is_filling(&w->loop.blocks);
        }
        w->shed.is_refused = false;
        return;
    }
    loop_defer(&w->loop, t); /* in the next turn what ended has given its memory back */
    end_those(w, level, rank_most);
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
