#include "base/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_name_has_the_same_id_each_time(void **state)
{
    (void)state;
    struct names n;
    struct err err;
    assert_int_equal(names_init(&n, &err), 0);
    char text[] = "web";
    uint32_t web = names_intern(&n, text), api = names_intern(&n, "api");
    assert_true(web && api && web != api);
    text[0] = 'x'; /* it keeps a copy */
    assert_int_equal(names_intern(&n, "web"), web);
    assert_string_equal(names_of(&n, web), "web");
    assert_string_equal(names_of(&n, api), "api");
    names_fini(&n);
}

static void nobody_has_an_id_that_was_not_given(void **state)
{
    (void)state;
    struct names n;
    struct err err;
    assert_int_equal(names_init(&n, &err), 0);
    assert_null(names_of(&n, 0));
    assert_null(names_of(&n, 1));
    assert_null(names_of(&n, UINT32_MAX));
    uint32_t id = names_intern(&n, "");
    assert_string_equal(names_of(&n, id), "");
    names_fini(&n);
}

static void many_names_are_all_found_again(void **state)
{
    (void)state;
    struct names n;
    struct err err;
    char text[16];
    assert_int_equal(names_init(&n, &err), 0);
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "server-%u", i);
        assert_int_equal(names_intern(&n, text), i + 1);
    }
    for (uint32_t i = 0; i < 20000; i++) {
        snprintf(text, sizeof(text), "server-%u", i);
        assert_int_equal(names_intern(&n, text), i + 1);
        assert_string_equal(names_of(&n, i + 1), text);
    }
    names_fini(&n);
}

static void names_that_others_bring_leave_a_reserve(void **state)
{
    (void)state;
    struct names n;
    struct err err;
    assert_int_equal(names_init(&n, &err), 0);
    uint32_t known = names_intern_before(&n, "app@10.0.0.1", NAMES_MAX - 2), configured;
    assert_int_equal(known, 1);
    assert_int_equal(names_intern_before(&n, "app@10.0.0.2", NAMES_MAX - 2), 0);
    assert_int_equal(names_intern_before(&n, "app@10.0.0.1", NAMES_MAX - 2), known);
    assert_true((configured = names_intern(&n, "web")) > 0);
    assert_int_equal(names_intern_before(&n, "web", NAMES_MAX - 2), configured);
    names_fini(&n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_the_same_id_each_time),
        cmocka_unit_test(nobody_has_an_id_that_was_not_given),
        cmocka_unit_test(many_names_are_all_found_again),
        cmocka_unit_test(names_that_others_bring_leave_a_reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
