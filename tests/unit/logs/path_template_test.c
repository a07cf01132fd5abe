#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "logs/path_template.h"

static void check(const char *path, const char *wanted)
{
    char memory[128];
    struct text t = text_over(memory, sizeof(memory));
    path_template(slice_of(path), &t);
    assert_string_equal(text_cstr(&t), wanted);
}

static void ids_are_folded(void **state)
{
    (void)state;
    check("/users/17/orders/9f3c0a1b77", "/users/{n}/orders/{hex}");
    check("/a/123e4567-e89b-12d3-a456-426614174000/b", "/a/{hex}/b");
    check("/2026/03/12", "/{n}/{n}/{n}");
    check("/DEADBEEF00", "/{hex}");
    check("/0", "/{n}");
}

static void words_stay(void **state)
{
    (void)state;
    check("/", "/");
    check("", "");
    check("//x//", "//x//");
    check("/facade/cafebabe", "/facade/cafebabe"); /* hexadecimal digits, but no number among them */
    check("/v2/abc123", "/v2/abc123");             /* fewer than eight */
    check("/static/app.1f.js", "/static/app.1f.js");
    check("/12a-34x", "/12a-34x");
    check("/-/--------", "/-/--------");
}

static void what_does_not_fit_is_cut(void **state)
{
    (void)state;
    char memory[8];
    struct text t = text_over(memory, sizeof(memory));
    path_template(SLICE("/abcdefgh/17"), &t);
    assert_string_equal(text_cstr(&t), "/abcdef");
    assert_true(t.is_cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_folded),
        cmocka_unit_test(words_stay),
        cmocka_unit_test(what_does_not_fit_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
