#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* after the above */
#include <cmocka.h>

#include "proxy/exchange.h"
#include "proxy/remains.h"
#include "proxy/tcp.h"
#include "record/flight_ring.h"

/* A proxy as far as its remains are looked at: one worker with a slab of exchanges and a ring of records. */
struct scene {
    struct budget budget;
    struct worker worker;
    struct worker *workers[1];
    const char *names[4];
    struct proxy proxy;
    struct memory_view memory;
};

static int set_up(void **state)
{
    static const char *const names[4] = { "-", "web", "pool\n", "10.0.0.1:80" };
    struct scene *s = calloc(1, sizeof(*s));
    struct err err;
    s->budget.limit = 1 << 20;
    s->worker.loop.now_ns = 5 * NS_PER_S;
    block_pool_init(&s->worker.loop.blocks, &s->budget);
    slab_init(&s->worker.exchanges, &s->worker.loop.blocks, sizeof(struct exchange));
    slab_init(&s->worker.sessions, &s->worker.loop.blocks, tcp_session_size());
    if (flight_ring_new(&s->worker.flights, 4, 0, &err) < 0) return -1;
    s->workers[0] = &s->worker;
    memcpy(s->names, names, sizeof(names));
    s->proxy.workers = s->workers;
    s->proxy.worker_count = 1;
    s->proxy.names.by_id = s->names;
    s->proxy.names.count = 4;
    s->memory = memory_of_self();
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    flight_ring_free(s->worker.flights);
    slab_fini(&s->worker.exchanges);
    slab_fini(&s->worker.sessions);
    free(s);
    return 0;
}

static struct exchange *begin(struct scene *s, const char *target)
{
    struct exchange *x = slab_get(&s->worker.exchanges);
    x->worker = &s->worker;
    x->state = EXCHANGE_ANSWER;
    x->start_ns = 2 * NS_PER_S;
    flight_init(&x->record);
    x->record.id = 0xabc;
    x->record.listener = 1;
    x->record.pool = 2;
    flight_set_target(&x->record, slice_of(target));
    flight_begin_attempt(&x->record, 3, (enum balance_reason)0, false);
    return x;
}

static struct remains_worker find_worker(struct scene *s, struct remains_proxy *p)
{
    struct remains_worker w;
    assert_true(remains_find_proxy(&s->memory, (uintptr_t)&s->proxy, p));
    assert_true(remains_find_worker(&s->memory, p, 0, &w));
    return w;
}

struct seen {
    uint32_t count, most;
    struct remains_exchange last;
};

static bool see(void *context, const struct remains_exchange *x)
{
    struct seen *seen = context;
    seen->last = *x;
    return ++seen->count < seen->most;
}

static void live_exchanges_are_found_and_idle_places_are_not(void **state)
{
    struct scene *s = *state;
    struct exchange *live[20];
    struct remains_proxy p;
    struct seen seen = { .most = 100 };
    for (int i = 0; i < 20; i++) live[i] = begin(s, "/x");
    for (int i = 0; i < 20; i++)
        if (i != 13) slab_put(&s->worker.exchanges, live[i]);
    struct remains_worker w = find_worker(s, &p);
    remains_exchanges(&s->memory, &w, see, &seen);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.last.address, (uintptr_t)live[13]);
    assert_int_equal(seen.last.age_us, 3000000);
    assert_string_equal(seen.last.state, "answer");
    slab_put(&s->worker.exchanges, live[13]);
}

static void whoever_looks_may_stop(void **state)
{
    struct scene *s = *state;
    struct exchange *live[30];
    struct remains_proxy p;
    struct seen seen = { .most = 7 };
    for (int i = 0; i < 30; i++) live[i] = begin(s, "/x");
    struct remains_worker w = find_worker(s, &p);
    remains_exchanges(&s->memory, &w, see, &seen);
    assert_int_equal(seen.count, 7);
    for (int i = 0; i < 30; i++) slab_put(&s->worker.exchanges, live[i]);
}

static void an_exchange_that_was_overwritten_can_be_printed(void **state)
{
    struct scene *s = *state;
    struct remains_proxy p;
    struct seen seen = { .most = 100 };
    char memory[2048];
    struct text t = text_over(memory, sizeof(memory));
    struct exchange *x = begin(s, "/x");
    memset((char *)x + sizeof(x->worker), 0xff, sizeof(*x) - sizeof(x->worker));
    struct remains_worker w = find_worker(s, &p);
    remains_exchanges(&s->memory, &w, see, &seen);
    assert_int_equal(seen.count, 1);
    assert_string_equal(seen.last.state, "?");
    remains_print_exchange(&s->memory, &p, &seen.last, &t);
    assert_non_null(strstr(text_cstr(&t), "listener=? pool=? server=?"));
    slab_put(&s->worker.exchanges, x);
}

static void one_line_says_where_it_stood(void **state)
{
    struct scene *s = *state;
    struct remains_proxy p;
    struct seen seen = { .most = 100 };
    char memory[512];
    struct text t = text_over(memory, sizeof(memory));
    struct exchange *x = begin(s, "/a \"b\n");
    struct remains_worker w = find_worker(s, &p);
    remains_exchanges(&s->memory, &w, see, &seen);
    remains_print_exchange(&s->memory, &p, &seen.last, &t);
    assert_string_equal(text_cstr(&t),
                        "id=0000000000000abc state=answer age_ms=3000.000 listener=web pool=pool? "
                        "server=10.0.0.1:80 attempts=1 request=\"GET /a??b?\"");
    slab_put(&s->worker.exchanges, x);
}

#define PAGES 7u

/* The list of pages with its end led back to any of them: each exchange is seen once all the same. */
static void pages_that_lead_in_a_circle_are_seen_once(void **state)
{
    struct scene *s = *state;
    struct remains_proxy p;
    struct exchange *live[256];
    struct slab *slab = &s->worker.exchanges;
    void **pages[PAGES];
    uint32_t count = 0, page_count = 0;
    while (count < PAGES * slab->per_page) live[count++] = begin(s, "/x");
    for (void **page = (void **)slab->pages; page; page = *page) pages[page_count++] = page;
    assert_int_equal(page_count, PAGES);
    for (uint32_t to = 0; to < PAGES; to++) {
        for (uint32_t from = to; from < PAGES; from++) {
            struct seen seen = { .most = 100000 };
            void *before = *pages[from];
            *pages[from] = pages[to];
            struct remains_worker w = find_worker(s, &p);
            remains_exchanges(&s->memory, &w, see, &seen);
            assert_int_equal(seen.count, (from + 1) * slab->per_page);
            *pages[from] = before;
        }
    }
    while (count) slab_put(slab, live[--count]);
}

/* Memory in which, from an address on, every page is followed by another one, full of exchanges. */
#define ENDLESS UINT64_C(0xffff000000000000)

struct endless {
    struct memory_view self;
    uint64_t worker, pages;
};

static bool read_endless(const void *context, uint64_t address, void *out, size_t len)
{
    struct endless *e = (struct endless *)(uintptr_t)context;
    if (address < ENDLESS) return memory_read(&e->self, address, out, len);
    uint64_t next = address + 16384;
    memset(out, 0, len);
    memcpy(out, len == sizeof(next) ? &next : &e->worker, sizeof(next));
    e->pages += len == sizeof(next);
    return true;
}

static void pages_without_an_end_are_bounded(void **state)
{
    struct scene *s = *state;
    struct remains_proxy p;
    struct seen seen = { .most = UINT32_MAX };
    struct remains_worker w = find_worker(s, &p);
    struct endless e = { s->memory, w.address, 0 };
    const struct memory_view endless = { read_endless, &e };
    struct slab kept = s->worker.exchanges;
    assert_int_equal(w.pages_max, REMAINS_PAGES_MAX);
    w.pages_max = 1000;
    s->worker.exchanges.pages = (struct slab_page *)(uintptr_t)ENDLESS; // NOLINT(performance-no-int-to-ptr)
    remains_exchanges(&endless, &w, see, &seen);
    s->worker.exchanges = kept;
    assert_int_equal(seen.count, 1000 * kept.per_page);
    assert_in_range(e.pages, 1000, 3000);
}

/* A core file may say of the slab what it likes: it is of this build, or it is not looked at. */
static void a_slab_of_other_objects_is_not_looked_at(void **state)
{
    struct scene *s = *state;
    struct remains_proxy p;
    struct seen seen = { .most = 100 };
    struct exchange *x = begin(s, "/x");
    s->worker.exchanges.object_size = 16;
    struct remains_worker w = find_worker(s, &p);
    remains_exchanges(&s->memory, &w, see, &seen);
    assert_int_equal(seen.count, 0);
    s->worker.exchanges.object_size = (uint32_t)((sizeof(struct exchange) + 15) & ~(size_t)15);
    slab_put(&s->worker.exchanges, x);
}

static void records_come_the_latest_first(void **state)
{
    struct scene *s = *state;
    struct flight_record r, out;
    flight_init(&r);
    for (r.id = 1; r.id <= 6; r.id++) flight_write(s->worker.flights, &r);
    for (uint64_t ago = 0; ago < 4; ago++) {
        assert_true(flight_salvage(&s->memory, (uintptr_t)s->worker.flights, ago, &out));
        assert_int_equal(out.id, 6 - ago);
    }
    assert_false(flight_salvage(&s->memory, (uintptr_t)s->worker.flights, 4, &out));
    assert_false(flight_salvage(&s->memory, 0x10, 0, &out));
}

static void what_is_no_proxy_is_not_found(void **state)
{
    struct scene *s = *state;
    struct remains_proxy p;
    struct remains_worker w;
    char name[REMAINS_NAME_MAX];
    assert_false(remains_find_proxy(&s->memory, 0, &p));
    assert_false(remains_find_proxy(&s->memory, UINT64_MAX - 4, &p));
    s->proxy.worker_count = 5000;
    assert_false(remains_find_proxy(&s->memory, (uintptr_t)&s->proxy, &p));
    s->proxy.worker_count = 1;
    find_worker(s, &p);
    assert_false(remains_find_worker(&s->memory, &p, 1, &w));
    s->workers[0] = (struct worker *)(uintptr_t)0x10;
    assert_false(remains_find_worker(&s->memory, &p, 0, &w));
    s->names[3] = (const char *)(uintptr_t)0x10;
    assert_string_equal(remains_name(&s->memory, &p, 3, name), "?");
    assert_string_equal(remains_name(&s->memory, &p, 4, name), "?");
    assert_string_equal(remains_name(&s->memory, &p, 0, name), "-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(live_exchanges_are_found_and_idle_places_are_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(whoever_looks_may_stop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_exchange_that_was_overwritten_can_be_printed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_line_says_where_it_stood, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pages_that_lead_in_a_circle_are_seen_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pages_without_an_end_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_slab_of_other_objects_is_not_looked_at, set_up, tear_down),
        cmocka_unit_test_setup_teardown(records_come_the_latest_first, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_no_proxy_is_not_found, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
