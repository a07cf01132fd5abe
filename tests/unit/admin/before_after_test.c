/* What is watched of events: the latest, however many routes there are. */
#include "admin/before_after.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/event_list.h"
#include "net/loop.h"
#include "proxy/listener.h"
#include "proxy/proxy.h"
#include "proxy/route_set.h"

/* Of so many different durations that three snapshots of all routes have room, and a fourth has not. */
#define DURATIONS 1000u

struct scene {
    struct budget budget;
    struct loop loop;
    struct proxy proxy;
    struct listener listener, *listeners[1];
    struct route_set set;
    struct metric_shard *shard;
    struct before_after *watch;
};

static void count(struct scene *s, uint32_t route, uint32_t requests)
{
    const struct route *r = &s->set.routes[route];
    for (uint32_t i = 0; i < requests; i++) {
        metric_add(s->shard, r->meters.exchanges, 1);
        metric_observe(s->shard, r->meters.seconds, histogram_cell_low(i % DURATIONS));
    }
}

static void open_scene(struct scene *s, uint32_t routes)
{
    struct err err;
    s->budget.limit = 64 << 20;
    assert_int_equal(loop_init(&s->loop, &s->budget, &err), 0);
    assert_int_equal(metric_registry_new(&s->proxy.metrics, 1, 4 * routes, &err), 0);
    s->shard = metric_shard_of(s->proxy.metrics, 0);
    s->set.routes = calloc(routes, sizeof(*s->set.routes));
    assert_non_null(s->set.routes);
    s->set.route_count = routes;
    s->listener = (struct listener){ .id = 1, .routes = &s->set };
    s->listeners[0] = &s->listener;
    s->proxy.listeners = s->listeners;
    s->proxy.listener_count = 1;
    for (uint32_t i = 0; i < routes; i++) {
        char name[16];
        struct route *r = &s->set.routes[i];
        snprintf(name, sizeof(name), "r%u", i);
        const struct metric_label label = { "route", name };
        r->id = 10 + i;
        r->meters.exchanges = metric_counter(s->proxy.metrics, "weir_x_total", "X.", &label, 1);
        r->meters.errors = METRIC_NONE;
        r->meters.seconds = metric_histogram(s->proxy.metrics, "weir_x_seconds", "X.", &label, 1);
        assert_int_not_equal(r->meters.seconds, METRIC_NONE);
        count(s, i, DURATIONS);
    }
    s->watch = before_after_new(&s->proxy, &s->loop);
    assert_non_null(s->watch);
}

static void close_scene(struct scene *s)
{
    before_after_free(s->watch);
    free(s->set.routes);
    metric_registry_free(s->proxy.metrics);
    loop_fini(&s->loop);
}

static uint64_t mark(struct scene *s)
{
    event_list_note(LOG_INFO, "marker", 1, "name=x", 6);
    before_after_look(s->watch);
    return event_list_latest();
}

static bool is_watched(struct scene *s, uint64_t event)
{
    struct before_after_window w;
    return before_after_find(s->watch, event, &w);
}

static void durations_of_now_are_read_of_what_is_asked_for(void **state)
{
    (void)state;
    static struct scene s;
    struct before_after_window w;
    const struct history_key first = { HISTORY_ROUTE, 1, 10 }, second = { HISTORY_ROUTE, 1, 11 };
    open_scene(&s, 2);
    uint64_t event = mark(&s);
    count(&s, 0, 7);
    assert_true(before_after_find(s.watch, event, &w));
    before_after_read_cells(s.watch, &first);
    const struct before_after_object *before = before_after_object(w.event, &first);
    const struct before_after_object *now = before_after_object(w.end, &first);
    assert_int_equal(before->requests, DURATIONS);
    assert_int_equal(now->requests, DURATIONS + 7);
    assert_int_equal(before->cell_count, DURATIONS);
    assert_int_equal(now->cell_count, DURATIONS);
    assert_int_equal(before->cells[6].count, 1);
    assert_int_equal(now->cells[6].count, 2);
    assert_int_equal(now->cells[7].count, 1);
    assert_null(before_after_object(w.end, &second)->cells);
    close_scene(&s);
}

static void the_oldest_makes_room_where_memory_does_not_suffice(void **state)
{
    (void)state;
    static struct scene s;
    uint64_t events[BEFORE_AFTER_WATCHED_MAX];
    open_scene(&s, BEFORE_AFTER_OBJECTS_MAX);
    for (uint32_t i = 0; i < BEFORE_AFTER_WATCHED_MAX; i++) {
        events[i] = mark(&s);
        assert_true(is_watched(&s, events[i]));
    }
    assert_true(is_watched(&s, events[BEFORE_AFTER_WATCHED_MAX - 2]));
    assert_false(is_watched(&s, events[0]));
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_of_now_are_read_of_what_is_asked_for),
        cmocka_unit_test(the_oldest_makes_room_where_memory_does_not_suffice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
