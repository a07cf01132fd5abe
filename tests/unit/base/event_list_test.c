#include "base/event_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "base/clock.h"

static void what_is_no_event_is_not_kept(void **state)
{
    (void)state;
    uint64_t before = event_list_latest();
    log_set_level(LOG_ERROR);
    log_event(LOG_WARN, "accept_paused", "listener=web");
    assert_int_equal(event_list_latest(), before);
    assert_false(event_list_keeps("accept_paused"));
}

/* Quiet in the log or not: it has happened. */
static void an_event_has_the_words_and_the_time_of_its_message(void **state)
{
    (void)state;
    struct event e;
    uint64_t from_ns = clock_wall_ns();
    log_set_level(LOG_ERROR);
    log_event(LOG_INFO, "server_state", "pool=%s server=%s reason=%s", "web", "a", "check_failed");
    uint64_t id = event_list_latest();
    assert_true(event_list_get(id, &e));
    assert_int_equal(e.id, id);
    assert_int_equal(e.level, LOG_INFO);
    assert_string_equal(e.name, "server_state");
    assert_string_equal(e.text, "pool=web server=a reason=check_failed");
    assert_in_range(e.wall_ns, from_ns, clock_wall_ns());
    assert_false(event_list_get(id + 1, &e));
    assert_false(event_list_get(0, &e));
}

static void the_latest_are_kept_and_counted_without_gaps(void **state)
{
    (void)state;
    struct event e;
    log_set_level(LOG_ERROR);
    uint64_t first = event_list_latest() + 1;
    for (unsigned i = 0; i < 2 * EVENT_LIST_MAX; i++) log_event(LOG_INFO, "marker", "name=%u", i);
    assert_int_equal(event_list_latest(), first + 2 * EVENT_LIST_MAX - 1);
    assert_int_equal(event_list_oldest(), event_list_latest() - EVENT_LIST_MAX + 1);
    assert_false(event_list_get(event_list_oldest() - 1, &e));
    for (uint64_t id = event_list_oldest(); id <= event_list_latest(); id++) {
        char text[32];
        snprintf(text, sizeof(text), "name=%u", (unsigned)(id - first));
        assert_true(event_list_get(id, &e));
        assert_string_equal(e.text, text);
    }
}

static void a_long_text_is_cut(void **state)
{
    (void)state;
    struct event e;
    char words[900];
    memset(words, 'x', sizeof(words) - 1);
    words[sizeof(words) - 1] = 0;
    log_set_level(LOG_ERROR);
    log_event(LOG_INFO, "marker", "name=%s", words);
    assert_true(event_list_get(event_list_latest(), &e));
    assert_int_equal(strlen(e.text), EVENT_TEXT_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_event_is_not_kept),
        cmocka_unit_test(an_event_has_the_words_and_the_time_of_its_message),
        cmocka_unit_test(the_latest_are_kept_and_counted_without_gaps),
        cmocka_unit_test(a_long_text_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
