/* Sources over a kind of the test's own, which answers what it is told to; the clock stands until it is set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "discovery/sources.h"

struct fake {
    struct source source; /* first */
    unsigned asked;
};

static unsigned open_fakes;

static struct source *open_fake(void)
{
    struct fake *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    open_fakes++;
    return &f->source;
}

static void ask_fake(struct source *s)
{
    ((struct fake *)s)->asked++;
}

static void close_fake(struct source *s)
{
    open_fakes--;
    free(s);
}

static const struct source_kind fake = { open_fake, ask_fake, close_fake };
static const struct source_kind *const kinds[PLACE_KINDS] = { [PLACE_DNS] = &fake, [PLACE_FILE] = &fake };

struct scene {
    struct budget budget;
    struct loop loop;
    struct resolver_conf resolver;
    struct metric_registry *metrics;
    struct sources *sources;
    unsigned changes, answers;
    bool refuses; /* changes cannot be put in force */
};

static void on_change(void *context)
{
    struct scene *s = context;
    s->changes++;
    sources_told(s->sources, !s->refuses);
}

static void on_answer(void *context)
{
    ((struct scene *)context)->answers++;
}

static void open_scene(struct scene *s)
{
    struct err err = { "" };
    *s = (struct scene){ .budget.limit = 16 << 20, .resolver.empty_after_ms = 10000 };
    if (loop_init(&s->loop, &s->budget, &err) < 0) fail_msg("%s", err.text);
    s->loop.is_virtual = true;
    const struct sources_options o = { .loop = &s->loop,
                                       .resolver = &s->resolver,
                                       .kinds = kinds,
                                       .on_change = on_change,
                                       .on_answer = on_answer,
                                       .context = s };
    assert_int_equal(sources_new(&s->sources, &o, &err), 0);
    assert_int_equal(metric_registry_new(&s->metrics, 1, 1000, &err), 0);
    sources_show(s->sources, s->metrics);
}

static void close_scene(struct scene *s)
{
    assert_int_equal(open_fakes, 0);
    assert_int_equal(metric_series_count(s->metrics), 0);
    sources_free(s->sources);
    metric_registry_free(s->metrics);
    loop_fini(&s->loop);
}

static void pass_time(struct scene *s, uint64_t ms)
{
    s->loop.now_ns += ms * NS_PER_MS;
    loop_turn(&s->loop, 0);
}

static struct fake *get(struct scene *s, const char *text)
{
    struct address at;
    assert_int_equal(place_parse(slice_of(text), &at, NULL), 0);
    struct source *found = sources_get(s->sources, &at);
    assert_non_null(found);
    return (struct fake *)found;
}

/* "10.0.0.1:80 10.0.0.2:80"; "": there is nobody; NULL: it fails. */
static void answer(struct scene *s, struct fake *f, const char *addresses, uint64_t holds_ms)
{
    struct found found[8] = { 0 };
    struct source_answer a = { .result = SOURCE_FAILED, .reason = "it is away", .holds_ms = holds_ms };
    char text[300], *rest = NULL;
    if (addresses) {
        snprintf(text, sizeof(text), "%s", addresses);
        for (char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
            assert_int_equal(address_parse(slice_of(word), false, &found[a.count++].address, NULL), 0);
        a.result = a.count ? SOURCE_FOUND : SOURCE_EMPTY;
        a.found = found;
    }
    source_answered(&f->source, &a);
    loop_turn(&s->loop, 0);
}

static void assert_known(const struct fake *f, const char *expected)
{
    char text[300];
    struct text t = text_over(text, sizeof(text));
    for (uint32_t i = 0; i < f->source.count; i++) {
        char address[ADDRESS_TEXT_MAX];
        text_printf(&t, "%s%s", i ? " " : "", address_print(&f->source.found[i].address, address));
    }
    assert_string_equal(text_cstr(&t), expected);
}

static void who_is_wanted_twice_is_asked_once_and_the_port_is_nothing_to_him(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct fake *a = get(&s, "app.internal:80"), *b = get(&s, "APP.internal:81"), *c = get(&s, "file:/app");
    assert_ptr_equal(a, b);
    assert_ptr_not_equal(a, c);
    assert_ptr_not_equal(c, get(&s, "file:/App"));
    assert_int_equal(a->asked, 1);
    assert_false(sources_are_settled(s.sources));
    source_put(&a->source);
    assert_int_equal(open_fakes, 3);
    source_put(&a->source);
    assert_int_equal(open_fakes, 2);
    struct source *last = sources_next(s.sources, &c->source);
    source_put(&c->source);
    source_put(last);
    close_scene(&s);
}

static void an_answer_is_known_in_order_each_address_once_and_asked_for_again_when_its_time_is_over(
    void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct fake *f = get(&s, "app.internal:80");
    answer(&s, f, "10.0.0.2:80 10.0.0.1:80 10.0.0.2:80", 5000);
    assert_known(f, "10.0.0.1:80 10.0.0.2:80");
    assert_true(sources_are_settled(s.sources));
    assert_int_equal(s.answers, 1);
    pass_time(&s, 4999);
    assert_int_equal(f->asked, 1);
    pass_time(&s, 2);
    assert_int_equal(f->asked, 2);
    pass_time(&s, 60000); /* it does not answer: it is not asked a second time meanwhile */
    assert_int_equal(f->asked, 2);
    source_put(&f->source);
    close_scene(&s);
}

static void changes_are_told_together_and_not_too_often(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct fake *a = get(&s, "a.internal:80"), *b = get(&s, "b.internal:80");
    answer(&s, a, "10.0.0.1:80", 60000);
    pass_time(&s, SOURCES_GATHER_MS / 2);
    answer(&s, b, "10.0.0.2:80", 60000);
    assert_int_equal(s.changes, 0);
    pass_time(&s, SOURCES_GATHER_MS);
    assert_int_equal(s.changes, 1);
    answer(&s, a, "10.0.0.1:80", 60000); /* the same */
    pass_time(&s, SOURCES_APART_MS);
    assert_int_equal(s.changes, 1);
    answer(&s, a, "10.0.0.1:80 10.0.0.3:80", 60000);
    pass_time(&s, SOURCES_GATHER_MS + 1);
    assert_int_equal(s.changes, 2);
    answer(&s, a, "10.0.0.3:80", 60000);
    pass_time(&s, SOURCES_GATHER_MS + 1);
    assert_int_equal(s.changes, 2);
    pass_time(&s, SOURCES_APART_MS);
    assert_int_equal(s.changes, 3);
    source_put(&a->source);
    source_put(&b->source);
    close_scene(&s);
}

static void a_failure_keeps_what_is_known_and_nobody_is_nobody_after_a_while(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct fake *f = get(&s, "app.internal:80");
    answer(&s, f, "10.0.0.1:80", 1000);
    pass_time(&s, 1001);
    answer(&s, f, NULL, 0);
    assert_known(f, "10.0.0.1:80");
    assert_string_equal(f->source.reason, "it is away");
    assert_int_equal(f->source.answers[SOURCE_FAILED], 1);
    pass_time(&s, 1001);
    assert_int_equal(f->asked, 3);
    answer(&s, f, "", 0);
    assert_known(f, "10.0.0.1:80");
    pass_time(&s, 10001);
    answer(&s, f, "", 0);
    assert_known(f, "");
    pass_time(&s, SOURCES_APART_MS);
    assert_int_equal(s.changes, 2);
    pass_time(&s, 10001);
    answer(&s, f, "10.0.0.9:80", 1000);
    assert_known(f, "10.0.0.9:80");
    assert_string_equal(f->source.reason, "");
    source_put(&f->source);
    close_scene(&s);
}

static void a_source_leads_to_so_many_servers_and_no_more(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct fake *f = get(&s, "app.internal:80");
    struct found *found = calloc(FOUND_MAX + 1, sizeof(*found));
    assert_non_null(found);
    for (uint32_t i = 0; i <= FOUND_MAX; i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.0.%u.%u:80", i / 200, 1 + i % 200);
        assert_int_equal(address_parse(slice_of(text), false, &found[i].address, NULL), 0);
    }
    struct source_answer a = {
        .result = SOURCE_FOUND, .found = found, .count = FOUND_MAX + 1, .holds_ms = 1
    };
    source_answered(&f->source, &a);
    assert_int_equal(f->source.count, FOUND_MAX);
    assert_true(f->source.is_cut);
    a.count = FOUND_MAX;
    source_answered(&f->source, &a);
    assert_int_equal(f->source.count, FOUND_MAX);
    assert_false(f->source.is_cut);
    free(found);
    source_put(&f->source);
    close_scene(&s);
}

/* Each address once: of two answers with the same servers in any order the same is known. */
static void what_is_said_twice_of_an_address_is_settled_by_what_it_is(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct fake *f = get(&s, "app.internal:80");
    struct found said[] = { { .tier = 2, .has_weight = true, .weight = 9, .name = "a" },
                            { .tier = 1, .has_weight = true, .weight = 1, .name = "a" },
                            { .tier = 1, .has_weight = true, .weight = 5, .name = "c" },
                            { .tier = 1, .has_weight = true, .weight = 5, .name = "b" },
                            { .tier = 1, .name = "a" } };
    const uint32_t count = sizeof(said) / sizeof(*said);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(address_parse(SLICE("10.0.0.1:80"), false, &said[i].address, NULL), 0);
    for (uint32_t turned = 0; turned < count; turned++) {
        struct found found[sizeof(said) / sizeof(*said)];
        for (uint32_t i = 0; i < count; i++) found[i] = said[(i + turned) % count];
        struct source_answer a = { .result = SOURCE_FOUND, .found = found, .count = count, .holds_ms = 1000 };
        source_answered(&f->source, &a);
        assert_int_equal(f->source.count, 1);
        assert_string_equal(f->source.found[0].name, "b");
        assert_int_equal(f->source.found[0].weight, 5);
        pass_time(&s, SOURCES_APART_MS);
    }
    assert_int_equal(s.changes, 1);
    source_put(&f->source);
    close_scene(&s);
}

/* The last tiers are left out, however their addresses sort. */
static void who_is_left_out_is_of_the_last_tier(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct fake *f = get(&s, "app.internal:80");
    struct found *found = calloc(FOUND_MAX + 2, sizeof(*found));
    assert_non_null(found);
    for (uint32_t i = 0; i < FOUND_MAX + 2; i++) {
        char text[32];
        snprintf(text, sizeof(text), "10.0.%u.%u:80", i / 200, 1 + i % 200);
        assert_int_equal(address_parse(slice_of(text), false, &found[i].address, NULL), 0);
        found[i].tier = i < 2 ? 2 : 1;
    }
    struct source_answer a = {
        .result = SOURCE_FOUND, .found = found, .count = FOUND_MAX + 2, .holds_ms = 1
    };
    source_answered(&f->source, &a);
    assert_int_equal(f->source.count, FOUND_MAX);
    assert_true(address_equal(&f->source.found[0].address, &found[2].address));
    assert_true(address_equal(&f->source.found[FOUND_MAX - 1].address, &found[FOUND_MAX + 1].address));
    a.count = 3;
    a.left_out = 1; /* by the kind itself */
    source_answered(&f->source, &a);
    assert_true(f->source.is_cut);
    free(found);
    source_put(&f->source);
    close_scene(&s);
}

static void what_cannot_be_put_in_force_is_told_again_more_and_more_seldom(void **state)
{
    (void)state;
    struct scene s;
    open_scene(&s);
    struct fake *f = get(&s, "app.internal:80");
    s.refuses = true;
    answer(&s, f, "10.0.0.1:80", 36000000);
    pass_time(&s, SOURCES_GATHER_MS + 1);
    assert_int_equal(s.changes, 1);
    uint64_t apart_ms = SOURCES_APART_MS;
    for (unsigned i = 2; i < 16; i++) {
        pass_time(&s, apart_ms - 1);
        assert_int_equal(s.changes, i - 1);
        pass_time(&s, 2);
        assert_int_equal(s.changes, i);
        apart_ms = apart_ms * 2 < 60000 ? apart_ms * 2 : 60000;
    }
    s.refuses = false;
    pass_time(&s, apart_ms);
    assert_false(f->source.has_changed);
    unsigned changes = s.changes;
    pass_time(&s, 10 * apart_ms);
    assert_int_equal(s.changes, changes);
    answer(&s, f, "10.0.0.2:80", 36000000);
    pass_time(&s, SOURCES_APART_MS + 1);
    assert_int_equal(s.changes, changes + 1);
    source_put(&f->source);
    close_scene(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_wanted_twice_is_asked_once_and_the_port_is_nothing_to_him),
        cmocka_unit_test(
            an_answer_is_known_in_order_each_address_once_and_asked_for_again_when_its_time_is_over),
        cmocka_unit_test(changes_are_told_together_and_not_too_often),
        cmocka_unit_test(a_failure_keeps_what_is_known_and_nobody_is_nobody_after_a_while),
        cmocka_unit_test(a_source_leads_to_so_many_servers_and_no_more),
        cmocka_unit_test(what_is_said_twice_of_an_address_is_settled_by_what_it_is),
        cmocka_unit_test(who_is_left_out_is_of_the_last_tier),
        cmocka_unit_test(what_cannot_be_put_in_force_is_told_again_more_and_more_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
