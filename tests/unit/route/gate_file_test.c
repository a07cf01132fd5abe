#include "route/gate_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void blocks_stand_one_a_line_with_remarks(void **state)
{
    (void)state;
    static const char text[] = "# a list\n\n192.0.2.0/24\n 10.0.0.1 # one\r\n198.51.100.0/24 ; SBL1\n"
                               "\t2001:db8::/32\tsince May\n; the end\n203.0.113.7";
    static const char *const blocks[] = { "192.0.2.0/24", "10.0.0.1", "198.51.100.0/24", "2001:db8::/32",
                                          "203.0.113.7" };
    struct prefix_list list = { 0 };
    struct err err;
    if (gate_file_parse("list", SLICE(text), 7, &list, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(list.count, 5);
    for (uint32_t i = 0; i < list.count; i++) {
        struct cidr block;
        assert_int_equal(cidr_parse(slice_of(blocks[i]), &block, &err), 0);
        assert_memory_equal(&list.items[i].block.ip, &block.ip, sizeof(block.ip));
        assert_int_equal(list.items[i].block.bits, block.bits);
        assert_int_equal(list.items[i].value, 7);
    }
    free(list.items);
}

static void a_mistake_has_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } cases[] = {
        { "192.0.2.0/24\nnonsense\n", "list:2: " },
        { "\n\n192.0.2.1/24\n", "list:3: " },
        { "192.0.2.0/33", "list:1: " },
        { "192.0.2.0/24,10.0.0.1", "list:1: " },
        { "\x01", "list:1: " },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct prefix_list list = { 0 };
        struct err err;
        assert_int_equal(gate_file_parse("list", slice_of(cases[i].text), 1, &list, &err), -1);
        if (strncmp(err.text, cases[i].said, strlen(cases[i].said)) != 0) fail_msg("%s", err.text);
        free(list.items);
    }
}

static void what_cannot_be_read_is_said(void **state)
{
    (void)state;
    struct prefix_list list = { 0 };
    struct err err;
    assert_int_equal(gate_file_read("/nowhere/list", 1, &list, &err), -1);
    assert_non_null(strstr(err.text, "cannot open /nowhere/list"));
    assert_int_equal(gate_file_read("/", 1, &list, &err), -1);
    assert_non_null(strstr(err.text, "/ is no file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_stand_one_a_line_with_remarks),
        cmocka_unit_test(a_mistake_has_its_place),
        cmocka_unit_test(what_cannot_be_read_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
