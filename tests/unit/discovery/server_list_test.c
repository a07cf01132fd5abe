#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
/* after the above */
#include <cmocka.h>

#include "discovery/server_list.h"

static struct found found[SERVER_LIST_MAX];

static void assert_found(uint32_t n, const char *address, int weight, const char *name)
{
    char text[ADDRESS_TEXT_MAX];
    assert_string_equal(address_print(&found[n].address, text), address);
    assert_int_equal(found[n].has_weight, weight >= 0);
    if (weight >= 0) assert_int_equal(found[n].weight, weight);
    assert_string_equal(found[n].name, name);
}

static void each_line_is_a_server(void **state)
{
    (void)state;
    struct err err = { "" };
    uint32_t count;
    static const char text[] = "# ours\n"
                               "10.0.0.1:80\n"
                               "\n"
                               "  [2001:db8::1]:8080\tweight=3   name=big # the new one\r\n"
                               "unix:/run/app.sock weight=0\n"
                               "10.0.0.2:81 name=last";
    assert_int_equal(server_list_read(SLICE(text), found, &count, &err), 0);
    assert_int_equal(count, 4);
    assert_found(0, "10.0.0.1:80", -1, "");
    assert_found(1, "[2001:db8::1]:8080", 3, "big");
    assert_found(2, "unix:/run/app.sock", 0, "");
    assert_found(3, "10.0.0.2:81", -1, "last");
    assert_int_equal(server_list_read(SLICE(""), found, &count, &err), 0);
    assert_int_equal(count, 0);
    assert_int_equal(server_list_read(SLICE("# nobody\n\n"), found, &count, &err), 0);
    assert_int_equal(count, 0);
}

static void a_mistake_is_told_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {
        { "10.0.0.1:80\n10.0.0.2\n", "line 2: \"10.0.0.2\" has no port; write host:port, like 10.0.0.1:80" },
        { "app.internal:80", "line 1: \"app.internal:80\" has a name for a host" },
        { "10.0.0.1:80 wieght=3", "line 1: \"wieght=3\" is not known here; write weight=3 or name=big" },
        { "10.0.0.1:80 weight=", "line 1: \"\" is no weight; write a number from 0 to 10000" },
        { "10.0.0.1:80 weight=10001", "line 1: \"10001\" is no weight" },
        { "10.0.0.1:80 weight=-1", "line 1: \"-1\" is no weight" },
        { "10.0.0.1:80 weight=99999999999999", "line 1: \"99999999999999\" is no weight" },
        { "10.0.0.1:80 name=a/b", "line 1: a name has from 1 to 64 bytes" },
        { "10.0.0.1:80 name=", "line 1: a name has from 1 to 64 bytes" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct err err = { "" };
        uint32_t count;
        assert_int_equal(server_list_read(slice_of(cases[i].text), found, &count, &err), -1);
        if (strncmp(err.text, cases[i].error, strlen(cases[i].error)) != 0)
            fail_msg("%s: %s", cases[i].text, err.text);
    }
}

static void there_is_a_bound_on_them(void **state)
{
    (void)state;
    enum { LINE = 16 };
    char *text = malloc((SERVER_LIST_MAX + 1) * LINE + 1);
    struct err err = { "" };
    uint32_t count;
    assert_non_null(text);
    for (unsigned i = 0; i <= SERVER_LIST_MAX; i++)
        snprintf(text + (size_t)i * LINE, LINE + 1, "10.1.%03u.%03u:80\n", 100 + i / 256 % 100,
                 100 + i % 100);
    assert_int_equal(
        server_list_read((struct slice){ text, (size_t)SERVER_LIST_MAX * LINE }, found, &count, &err), 0);
    assert_int_equal(count, SERVER_LIST_MAX);
    assert_int_equal(
        server_list_read((struct slice){ text, (size_t)(SERVER_LIST_MAX + 1) * LINE }, found, &count, &err),
        -1);
    assert_string_equal(err.text, "line 4097: there are more than 4096 servers");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_line_is_a_server),
        cmocka_unit_test(a_mistake_is_told_with_its_line),
        cmocka_unit_test(there_is_a_bound_on_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
