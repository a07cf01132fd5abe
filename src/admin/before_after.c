#include "admin/before_after.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/event_list.h"
#include "net/loop.h"
#include "proxy/listener.h"
#include "proxy/proxy.h"
#include "proxy/route_set.h"

#define LOOK_MS 1000u
/* What was before an event is counted from the oldest of these on: ten to fifteen minutes, or less after a start. */
#define CHECKPOINTS 3u
#define CHECKPOINT_NS (300 * NS_PER_S)
#define AFTER_NS (3600 * NS_PER_S)

enum kind { BY_PEOPLE, BY_ITSELF, KINDS };

struct watched {
    uint64_t event;                                 /* 0: none */
    struct before_after_snapshot *begin, *at, *end; /* end: NULL while the hour lasts */
};

struct before_after {
    struct proxy *proxy;
    struct loop *loop;
    struct timer timer;
    uint64_t seen; /* the latest event that was looked at */
    size_t memory;
    struct before_after_snapshot *checkpoints[CHECKPOINTS]; /* the oldest first; NULL at the end */
    struct watched watched[KINDS][BEFORE_AFTER_WATCHED_MAX];
    uint32_t next[KINDS];
    uint32_t cells[HISTOGRAM_CELLS];   /* of the object that is looked at */
    struct before_after_snapshot *now; /* of the question that is being answered */
};

/* snapshots */

static void put(struct before_after *b, struct before_after_snapshot *s)
{
    if (!s || --s->users) return;
    b->memory -= s->size;
    for (uint32_t i = 0; i < s->count; i++) free(s->objects[i].cells);
    free(s->objects);
    free(s);
}

static struct before_after_snapshot *get(struct before_after_snapshot *s)
{
    if (s) s->users++;
    return s;
}

static bool keep_cells(struct before_after *b, struct before_after_snapshot *s, struct before_after_object *o)
{
    uint32_t count = 0;
    memset(b->cells, 0, sizeof(b->cells));
    if (o->meter != METRIC_NONE) metric_fold(b->proxy->metrics, o->meter, 0, b->cells);
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++) count += b->cells[i] != 0;
    o->cells = calloc(count + 1, sizeof(*o->cells));
    if (!o->cells) return false;
    for (uint32_t i = 0; i < HISTOGRAM_CELLS; i++)
        if (b->cells[i]) o->cells[o->cell_count++] = (struct before_after_cell){ b->cells[i], (uint16_t)i };
    s->size += (count + 1) * sizeof(*o->cells);
    return true;
}

/* Of what had no request nothing is kept: nothing is what it had. */
static void add(struct before_after_snapshot *s, const struct history_key *key, uint64_t requests,
                uint64_t errors, uint32_t meter)
{
    if (!requests) return;
    if (s->count == BEFORE_AFTER_OBJECTS_MAX) {
        s->left_off++;
        return;
    }
    s->objects[s->count++] = (struct before_after_object){ *key, requests, errors, meter, 0, NULL };
}

static uint64_t sum_of(const struct metric_registry *m, uint32_t id)
{
    return id == METRIC_NONE ? 0 : metric_sum(m, id);
}

static void add_routes(struct before_after *b, struct before_after_snapshot *s)
{
    const struct proxy *p = b->proxy;
    for (uint32_t l = 0; l < p->listener_count; l++) {
        const struct route_set *set = p->listeners[l]->routes;
        for (uint32_t i = 0; i < set->route_count; i++) {
            const struct route *r = &set->routes[i];
            const struct history_key key = { HISTORY_ROUTE, p->listeners[l]->id, r->id };
            add(s, &key, sum_of(p->metrics, r->meters.exchanges), sum_of(p->metrics, r->meters.errors),
                r->meters.seconds);
        }
    }
}

static void add_servers(struct before_after *b, struct before_after_snapshot *s)
{
    const struct proxy *p = b->proxy;
    for (uint32_t i = 0; i < p->pool_count; i++) {
        const struct pool *pool = p->pools[i];
        for (uint32_t j = 0; j < pool->roster->count; j++) {
            const struct server *server = pool->roster->places[j].server;
            const struct history_key key = { HISTORY_SERVER, pool->id, server->id };
            add(s, &key, sum_of(p->metrics, server->meter_attempts),
                sum_of(p->metrics, server->meter_failures) + sum_of(p->metrics, server->meter_classes[5]),
                server->meter_latency);
        }
    }
}

/* Without durations, with one user; NULL: there is no memory for it. */
static struct before_after_snapshot *take_counts(struct before_after *b)
{
    struct before_after_snapshot *s = calloc(1, sizeof(*s));
    if (s) s->objects = calloc(BEFORE_AFTER_OBJECTS_MAX, sizeof(*s->objects));
    if (!s || !s->objects) {
        free(s);
        return NULL;
    }
    s->users = 1;
    s->at_ns = b->loop->now_ns;
    s->wall_ns = clock_wall_ns();
    s->size = sizeof(*s) + BEFORE_AFTER_OBJECTS_MAX * sizeof(*s->objects);
    add_routes(b, s);
    add_servers(b, s);
    b->memory += s->size;
    return s;
}

static void forget(struct before_after *b, struct watched *w)
{
    put(b, w->begin);
    put(b, w->at);
    put(b, w->end);
    *w = (struct watched){ 0 };
}

/* False: none is watched. */
static bool forget_oldest(struct before_after *b)
{
    struct watched *oldest = NULL;
    for (uint32_t i = 0; i < KINDS * BEFORE_AFTER_WATCHED_MAX; i++) {
        struct watched *w = &b->watched[i / BEFORE_AFTER_WATCHED_MAX][i % BEFORE_AFTER_WATCHED_MAX];
        if (w->at && (!oldest || w->event < oldest->event)) oldest = w;
    }
    if (oldest) forget(b, oldest);
    return oldest != NULL;
}

/* With all durations: some milliseconds where there are hundreds of routes and servers. What is old makes room for it. */
static struct before_after_snapshot *take(struct before_after *b)
{
    struct before_after_snapshot *s = take_counts(b);
    if (!s) return NULL;
    size_t size = s->size;
    bool is_whole = true;
    for (uint32_t i = 0; is_whole && i < s->count; i++) is_whole = keep_cells(b, s, &s->objects[i]);
    b->memory += s->size - size;
    while (is_whole && b->memory > BEFORE_AFTER_MEMORY_MAX && forget_oldest(b)) continue;
    if (is_whole && b->memory <= BEFORE_AFTER_MEMORY_MAX) return s;
    put(b, s);
    return NULL;
}

static bool is_same(const struct history_key *a, const struct history_key *b)
{
    return a->kind == b->kind && a->of == b->of && a->id == b->id;
}

const struct before_after_object *before_after_object(const struct before_after_snapshot *s,
                                                      const struct history_key *key)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (is_same(&s->objects[i].key, key)) return &s->objects[i];
    return NULL;
}

/* watching */

/* KINDS: of such a one nobody asks what it changed. */
static enum kind kind_of(const char *name)
{
    static const char *const by_people[] = { "marker", "reloaded", "server_changed", "maintenance",
                                             "split_guard" };
    static const char *const by_itself[] = { "server_state", "servers_changed", "certificate_changed",
                                             "pool_panic", "addresses_changed" };
    for (unsigned i = 0; i < sizeof(by_people) / sizeof(*by_people); i++)
        if (strcmp(name, by_people[i]) == 0) return BY_PEOPLE;
    for (unsigned i = 0; i < sizeof(by_itself) / sizeof(*by_itself); i++)
        if (strcmp(name, by_itself[i]) == 0) return BY_ITSELF;
    return KINDS;
}

static void watch(struct before_after *b, uint64_t event, enum kind kind)
{
    struct watched *w = &b->watched[kind][b->next[kind]++ % BEFORE_AFTER_WATCHED_MAX];
    forget(b, w);
    w->event = event;
}

/* Those that were not yet there at the last look. */
static void begin_new(struct before_after *b)
{
    struct before_after_snapshot *now = take(b);
    for (uint32_t i = 0; i < KINDS * BEFORE_AFTER_WATCHED_MAX; i++) {
        struct watched *w = &b->watched[i / BEFORE_AFTER_WATCHED_MAX][i % BEFORE_AFTER_WATCHED_MAX];
        if (!w->event || w->at) continue;
        w->begin = get(b->checkpoints[0]);
        w->at = get(now);
        if (!w->begin || !w->at) forget(b, w);
    }
    put(b, now);
}

static void end_old(struct before_after *b)
{
    for (int kind = 0; kind < KINDS; kind++) {
        for (uint32_t i = 0; i < BEFORE_AFTER_WATCHED_MAX; i++) {
            struct watched *w = &b->watched[kind][i];
            if (!w->event || w->end || b->loop->now_ns - w->at->at_ns < AFTER_NS) continue;
            struct before_after_snapshot *now = take(b);
            if (now && w->at)
                w->end = get(now);
            else
                forget(b, w);
            put(b, now);
            return; /* another one a second later: each takes its time */
        }
    }
}

static void checkpoint(struct before_after *b)
{
    uint32_t count = 0;
    while (count < CHECKPOINTS && b->checkpoints[count]) count++;
    if (count && b->loop->now_ns - b->checkpoints[count - 1]->at_ns < CHECKPOINT_NS) return;
    struct before_after_snapshot *s = take(b);
    if (!s) return;
    if (count == CHECKPOINTS) {
        put(b, b->checkpoints[0]);
        memmove(b->checkpoints, b->checkpoints + 1, (CHECKPOINTS - 1) * sizeof(*b->checkpoints));
        count--;
    }
    b->checkpoints[count] = s;
}

void before_after_look(struct before_after *b)
{
    struct event e;
    bool has_new = false;
    uint64_t latest = event_list_latest(), oldest = event_list_oldest();
    if (!b) return;
    if (b->seen + 1 < oldest) b->seen = oldest - 1;
    while (b->seen < latest) {
        b->seen++;
        enum kind kind = event_list_get(b->seen, &e) ? kind_of(e.name) : KINDS;
        if (kind == KINDS) continue;
        watch(b, b->seen, kind);
        has_new = true;
    }
    if (has_new) begin_new(b);
}

static void on_timer(struct timer *t)
{
    struct before_after *b = container_of(t, struct before_after, timer);
    before_after_look(b);
    end_old(b);
    checkpoint(b);
    loop_arm(b->loop, t, LOOK_MS);
}

struct before_after *before_after_new(struct proxy *proxy, struct loop *loop)
{
    struct before_after *b = calloc(1, sizeof(*b));
    if (!b) return NULL;
    b->proxy = proxy;
    b->loop = loop;
    b->seen = event_list_latest();
    timer_init(&b->timer, on_timer);
    checkpoint(b);
    loop_arm(loop, &b->timer, LOOK_MS);
    return b;
}

void before_after_free(struct before_after *b)
{
    if (!b) return;
    loop_disarm(b->loop, &b->timer);
    for (int kind = 0; kind < KINDS; kind++)
        for (uint32_t i = 0; i < BEFORE_AFTER_WATCHED_MAX; i++) forget(b, &b->watched[kind][i]);
    for (uint32_t i = 0; i < CHECKPOINTS; i++) put(b, b->checkpoints[i]);
    put(b, b->now);
    free(b);
}

bool before_after_find(struct before_after *b, uint64_t event, struct before_after_window *out)
{
    for (int kind = 0; kind < KINDS; kind++) {
        for (uint32_t i = 0; i < BEFORE_AFTER_WATCHED_MAX; i++) {
            const struct watched *w = &b->watched[kind][i];
            if (!event || w->event != event) continue;
            put(b, b->now);
            b->now = w->end ? NULL : take_counts(b);
            *out = (struct before_after_window){ w->begin, w->at, w->end ? w->end : b->now, w->end != NULL };
            return out->end != NULL;
        }
    }
    return false;
}

void before_after_read_cells(struct before_after *b, const struct history_key *key)
{
    struct before_after_snapshot *s = b->now;
    for (uint32_t i = 0; s && i < s->count; i++) {
        struct before_after_object *o = &s->objects[i];
        if (o->cells || !is_same(&o->key, key)) continue;
        size_t size = s->size;
        if (!keep_cells(b, s, o)) return; /* then there are none to compare */
        b->memory += s->size - size;
    }
}
