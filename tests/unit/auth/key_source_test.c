#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "auth/key_schedule.h"
#include "auth/key_store.h"

#define URL "https://login.example/keys"

static void there_is_one_for_each_address_and_ca(void **state)
{
    (void)state;
    struct key_source *s = key_source_get(URL, NULL);
    assert_ptr_equal(key_source_get(URL, NULL), s);
    struct key_source *other = key_source_get(URL, "/ca.pem");
    assert_ptr_not_equal(other, s);
    assert_ptr_equal(key_source_get(URL, "/ca.pem"), other);
    assert_ptr_not_equal(key_source_get(URL "s", NULL), s);
    key_source_put(key_source_get(URL "s", NULL));
    key_source_put(key_source_get(URL "s", NULL));
    for (int i = 0; i < 2; i++) {
        key_source_put(s);
        key_source_put(other);
    }
    key_source_put(NULL);
}

static void nothing_is_read_of_what_has_not_come(void **state)
{
    (void)state;
    struct err err = { "" };
    struct key_source *s = key_source_get(URL, NULL);
    assert_null(key_source_read(s, &err));
    assert_non_null(strstr(err.text, "has not been fetched yet"));
    assert_int_equal(key_source_number(s), 0);
    key_source_put(s);
}

static bool is_missed(struct key_source *s, uint64_t now_ms)
{
    s->missed_ms = 0;
    key_source_miss(s, now_ms);
    return s->missed_ms != 0;
}

static void a_key_that_is_missed_has_them_fetched_once_a_minute(void **state)
{
    (void)state;
    struct key_source *s = key_source_get(URL, NULL);
    assert_true(is_missed(s, 1000));
    assert_false(is_missed(s, 1000));
    assert_false(is_missed(s, 1000 + KEY_MISS_MS - 1));
    assert_true(is_missed(s, 1000 + KEY_MISS_MS));
    assert_false(is_missed(s, 1001 + KEY_MISS_MS));
    key_source_put(s);
}

static struct key_source *make(const char *url, uint64_t next_ms)
{
    struct key_source *s = key_source_get(url, NULL);
    s->is_used = true;
    s->next_ms = next_ms;
    return s;
}

/* One whose host hangs is due again before the others have been asked at all. */
static void who_has_waited_longest_is_asked_first(void **state)
{
    (void)state;
    uint64_t until_ms;
    assert_null(key_store_due(1000, &until_ms));
    assert_true(until_ms == UINT64_MAX);
    struct key_source *hangs = make(URL "1", 5000), *late = make(URL "2", 4000), *new = make(URL "3", 0);
    assert_ptr_equal(key_store_due(9000, &until_ms), new);
    new->next_ms = 60000;
    assert_ptr_equal(key_store_due(9000, &until_ms), late);
    late->is_used = false;
    assert_ptr_equal(key_store_due(9000, &until_ms), hangs);
    hangs->next_ms = 20000;
    assert_null(key_store_due(9000, &until_ms));
    assert_int_equal(until_ms, 20000);
    /* What a token lacks is due when it is missed, behind what has been due for longer. */
    key_source_miss(new, 19000);
    assert_ptr_equal(key_store_due(19500, &until_ms), new);
    hangs->next_ms = 18000;
    assert_ptr_equal(key_store_due(19500, &until_ms), hangs);
    key_source_put(hangs);
    key_source_put(late);
    key_source_put(new);
}

static void count(void *context, const struct key_source_state *s)
{
    (void)s;
    ++*(unsigned *)context;
}

static void only_those_of_the_configuration_in_force_are_told_of(void **state)
{
    (void)state;
    unsigned told = 0;
    struct key_source *s = key_source_get(URL, NULL);
    key_sources_each(0, count, &told);
    assert_int_equal(told, 0);
    s->is_used = true;
    key_sources_each(0, count, &told);
    assert_int_equal(told, 1);
    key_source_put(s);
    key_sources_each(0, count, &told);
    assert_int_equal(told, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_is_one_for_each_address_and_ca),
        cmocka_unit_test(nothing_is_read_of_what_has_not_come),
        cmocka_unit_test(a_key_that_is_missed_has_them_fetched_once_a_minute),
        cmocka_unit_test(who_has_waited_longest_is_asked_first),
        cmocka_unit_test(only_those_of_the_configuration_in_force_are_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
