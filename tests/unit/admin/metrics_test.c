#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* after the above */
#include <cmocka.h>

#include "admin/metrics.h"
#include "admin/routes.h"
#include "proxy/proxy.h"

struct bench {
    struct loop loop;
    struct budget budget;
    struct proxy proxy;
    struct metrics_texts texts;
    uint32_t meter;
};

static void open_bench(struct bench *b)
{
    struct err err;
    *b = (struct bench){ .budget.limit = 16 << 20 };
    assert_int_equal(loop_init(&b->loop, &b->budget, &err), 0);
    assert_int_equal(metric_registry_new(&b->proxy.metrics, 1, 100, &err), 0);
    b->meter = metric_counter(b->proxy.metrics, "weir_things_total", "Things.", NULL, 0);
    metrics_texts_init(&b->texts);
}

static void close_bench(struct bench *b)
{
    metrics_texts_fini(&b->texts);
    metrics_texts_fini(&b->texts);
    loop_turn(&b->loop, 0);
    metric_registry_free(b->proxy.metrics);
    loop_fini(&b->loop);
}

static struct answer scrape(struct bench *b, const char *accept)
{
    struct answer a = { 0 };
    struct admin_request rq = {
        .proxy = &b->proxy, .loop = &b->loop, .metrics = &b->texts, .accept = slice_of(accept)
    };
    metrics_print(&rq, &a);
    return a;
}

static void scrapes_of_one_turn_are_told_from_one_text(void **state)
{
    (void)state;
    enum { SCRAPES = 30 };
    struct bench b;
    struct answer answers[SCRAPES];
    open_bench(&b);
    uint64_t before = b.budget.used;
    for (int i = 0; i < SCRAPES; i++) answers[i] = scrape(&b, "text/plain");
    assert_int_equal(b.texts.made, 1);
    for (int i = 0; i < SCRAPES; i++) {
        assert_int_equal(answers[i].status, 200);
        assert_ptr_equal(answers[i].body, answers[0].body);
    }
    assert_non_null(strstr(answers[0].body, "weir_things_total 0\n"));
    assert_true(b.budget.used == before + answers[0].body_len); /* once */
    /* A slow client's goes on living when the turn is over. */
    for (int i = 1; i < SCRAPES; i++) answer_fini(&answers[i]);
    loop_turn(&b.loop, 0);
    assert_non_null(strstr(answers[0].body, "weir_things_total 0\n"));
    answer_fini(&answers[0]);
    assert_true(b.budget.used == before);
    close_bench(&b);
}

static void the_next_turn_has_figures_of_its_own(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    struct answer first = scrape(&b, "");
    loop_turn(&b.loop, 0);
    metric_add(metric_shard_of(b.proxy.metrics, 0), b.meter, 5);
    struct answer second = scrape(&b, "");
    assert_int_equal(b.texts.made, 2);
    assert_non_null(strstr(first.body, "weir_things_total 0\n"));
    assert_non_null(strstr(second.body, "weir_things_total 5\n"));
    answer_fini(&first);
    answer_fini(&second);
    close_bench(&b);
}

static void each_format_has_its_text(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    struct answer plain = scrape(&b, ""), open = scrape(&b, "application/openmetrics-text; version=1.0.0");
    assert_int_equal(b.texts.made, 2);
    assert_null(strstr(plain.body, "# EOF"));
    assert_non_null(strstr(open.body, "# EOF"));
    answer_fini(&plain);
    answer_fini(&open);
    close_bench(&b);
}

static void without_room_for_the_text_the_scrape_is_told_so(void **state)
{
    (void)state;
    struct bench b;
    open_bench(&b);
    b.budget.limit = b.budget.used + 10;
    struct answer a = scrape(&b, "");
    assert_int_equal(a.status, 500);
    answer_fini(&a);
    b.budget.limit = 16 << 20;
    close_bench(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scrapes_of_one_turn_are_told_from_one_text),
        cmocka_unit_test(the_next_turn_has_figures_of_its_own),
        cmocka_unit_test(each_format_has_its_text),
        cmocka_unit_test(without_room_for_the_text_the_scrape_is_told_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
