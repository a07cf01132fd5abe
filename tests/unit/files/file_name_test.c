#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "files/file_name.h"

static const char *why_not(const char *path, bool takes_hidden, char *name, size_t room)
{
    struct text t = text_over(name, room);
    const char *why = file_name_put(slice_of(path), takes_hidden, &t);
    (void)text_cstr(&t);
    return why;
}

static void paths_become_names(void **state)
{
    (void)state;
    static const char *const cases[][2] = { { "/", "" },
                                            { "/a", "a" },
                                            { "/a/", "a/" },
                                            { "/a/b.txt", "a/b.txt" },
                                            { "/a%20b%25", "a b%" },
                                            { "/%c3%A4", "\xc3\xa4" },
                                            { "/...", NULL },
                                            { "/.well-known/x", ".well-known/x" },
                                            { "/a..b/c.", "a..b/c." } };
    char name[64];
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *why = why_not(cases[i][0], false, name, sizeof(name));
        if (!cases[i][1]) {
            assert_non_null(why);
            continue;
        }
        assert_null(why);
        assert_string_equal(name, cases[i][1]);
    }
    assert_null(why_not("/.env", true, name, sizeof(name)));
}

static void what_could_be_another_name_is_none(void **state)
{
    (void)state;
    static const char *const paths[] = { "",     "*",         "a",      "/..",         "/a/../b",
                                         "/./a", "/%2e%2e/a", "/a%2fb", "/a%2F",       "/a%00b",
                                         "//a",  "/a//b",     "/a//",   "/%",          "/%2",
                                         "/%zz", "/.git/x",   "/a/.b",  "/.well-known" };
    char name[64];
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        if (!why_not(paths[i], false, name, sizeof(name))) fail_msg("a name: %s is %s", paths[i], name);
    assert_non_null(why_not("/../x", true, name, sizeof(name)));
    assert_non_null(why_not("/abcdefgh", false, name, 7));
}

static void a_name_of_the_configuration_stays_below(void **state)
{
    (void)state;
    static const char *const good[] = { "a", "a/b.html", "..a", ".a" }, *const bad[] = {
        "", "/a", "../a", "a/..", "a//b", "a/", ".", "a/./b"
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) assert_true(file_name_is_plain(good[i]));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) assert_false(file_name_is_plain(bad[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_become_names),
        cmocka_unit_test(what_could_be_another_name_is_none),
        cmocka_unit_test(a_name_of_the_configuration_stays_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
