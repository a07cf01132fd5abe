#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "logs/rotation.h"

static void what_rotation_added_to_a_name_is_taken_off(void **state)
{
    static const struct {
        const char *name, *base;
    } cases[] = {
        { "access.log", "access.log" },
        { "access.log.1", "access.log" },
        { "access.log.12", "access.log" },
        { "access.log-20261123", "access.log" },
        { "access.log.2026-11-23T10:00", "access.log" },
        { "access.log-20261123-1795430000", "access.log" },
        { "access-20261123.log", "access.log" },
        { "access.1.log", "access.log" },
        { "access.log.old", "access.log" },
        { "access.log.1.old", "access.log" },
        { "access.log.api", "access.log.api" },
        { "access.log.1a", "access.log.1a" },
        { "access.log.", "access.log." },
        { "access2.log", "access2.log" },
        { "log", "log" },
        { ".1", ".1" },
        { "1", "1" },
        { ".old", ".old" },
        { "", "" },
    };
    char base[ROTATION_NAME_MAX + 1];
    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_true(rotation_base(slice_of(cases[i].name), base));
        assert_string_equal(base, cases[i].base);
    }
}

static void a_name_that_no_file_can_have_is_refused(void **state)
{
    char name[ROTATION_NAME_MAX + 1], base[ROTATION_NAME_MAX + 1];
    (void)state;
    memset(name, 'a', sizeof(name));
    assert_true(rotation_base((struct slice){ name, ROTATION_NAME_MAX }, base));
    assert_false(rotation_base((struct slice){ name, ROTATION_NAME_MAX + 1 }, base));
}

static void packed_files_are_known_by_their_endings(void **state)
{
    (void)state;
    assert_true(rotation_is_packed(SLICE("access.log.1.gz")));
    assert_true(rotation_is_packed(SLICE("access.log.zst")));
    assert_false(rotation_is_packed(SLICE("access.log.1")));
    assert_false(rotation_is_packed(SLICE(".gz")));
    assert_false(rotation_is_packed(SLICE("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_rotation_added_to_a_name_is_taken_off),
        cmocka_unit_test(a_name_that_no_file_can_have_is_refused),
        cmocka_unit_test(packed_files_are_known_by_their_endings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
