#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "route/sni_table.h"

static const char *a[] = { "a.example", "B.Example" }, *w[] = { "*.example" }, *ww[] = { "*.a.example" };

static struct route_conf with(const char **names, uint32_t count)
{
    return (struct route_conf){ .sni = { names, count } };
}

static uint32_t find(const struct sni_table *t, const char *name)
{
    return sni_table_find(t, slice_of(name));
}

static void the_whole_name_goes_first_then_the_longest_wildcard_then_the_rest(void **state)
{
    (void)state;
    const struct route_conf routes[] = { with(w, 1), with(a, 2), with(ww, 1), with(NULL, 0) };
    struct sni_table *t = sni_table_new(routes, 4);
    assert_int_equal(find(t, "a.example"), 1);
    assert_int_equal(find(t, "b.example"), 1);
    assert_int_equal(find(t, "c.example"), 0);
    assert_int_equal(find(t, "x.a.example"), 2);
    assert_int_equal(find(t, "y.x.a.example"), 2);
    assert_int_equal(find(t, "y.x.b.example"), 0);
    assert_int_equal(find(t, "example"), 3);
    assert_int_equal(find(t, ".example"), 3);
    assert_int_equal(find(t, ""), 3);
    assert_int_equal(sni_table_rest(t), 3);
    sni_table_free(t);
}

static void without_a_rest_nobody_takes_the_others(void **state)
{
    (void)state;
    const struct route_conf routes[] = { with(a, 2) };
    struct sni_table *t = sni_table_new(routes, 1);
    assert_int_equal(find(t, "c.example"), SNI_ROUTE_NONE);
    assert_int_equal(find(t, "xa.example"), SNI_ROUTE_NONE);
    assert_int_equal(sni_table_rest(t), SNI_ROUTE_NONE);
    sni_table_free(t);
}

static void many_names_are_all_found(void **state)
{
    (void)state;
    enum { MANY = 5000 };
    static char texts[MANY][32];
    static const char *names[MANY];
    static struct route_conf routes[MANY];
    for (size_t i = 0; i < MANY; i++) {
        snprintf(texts[i], sizeof(texts[i]), "n%zu.example", i);
        names[i] = texts[i];
        routes[i] = with(&names[i], 1);
    }
    struct sni_table *t = sni_table_new(routes, MANY);
    for (uint32_t i = 0; i < MANY; i++) assert_int_equal(find(t, texts[i]), i);
    sni_table_free(t);
}

static void note(void *context, uint32_t route, const char *name)
{
    char *text = context;
    sprintf(text + strlen(text), "%u %s\n", route, name);
}

static void what_is_there_twice_is_told(void **state)
{
    (void)state;
    const char *again[] = { "A.EXAMPLE", "c.example", "*.example" };
    char told[256] = "";
    const struct route_conf routes[] = { with(a, 2), with(w, 1), with(again, 3) };
    sni_table_each_twice(routes, 3, note, told);
    assert_string_equal(told, "2 A.EXAMPLE\n2 *.example\n");
}

static void names_are_checked(void **state)
{
    (void)state;
    struct err err;
    static const char *const good[] = { "a", "a.example", "*.a.example", "a-b_c.example",
                                        "xn--bcher-kva.example" };
    static const char *const bad[] = { "",    "*",     "*.",         ".a",    "a.",      "a..b",
                                       "a b", "a:443", "*a.example", "a.*.b", "\xc3\xa4" };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_int_equal(sni_check_name(good[i], &err), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_int_equal(sni_check_name(bad[i], &err), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_whole_name_goes_first_then_the_longest_wildcard_then_the_rest),
        cmocka_unit_test(without_a_rest_nobody_takes_the_others),
        cmocka_unit_test(many_names_are_all_found),
        cmocka_unit_test(what_is_there_twice_is_told),
        cmocka_unit_test(names_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
