#include "conf/foreign_word.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void words_of_others_are_said_in_weirs(void **state)
{
    (void)state;
    assert_string_equal(conf_foreign_key("listener", SLICE("listen")), "here that is `bind`");
    assert_string_equal(conf_foreign_key("server", SLICE("BACKUP")), "here that is `tier: 2`");
    assert_string_equal(conf_foreign_value("balance", SLICE("leastconn")),
                        "here that is `least_connections`");
}

static void other_words_are_nobodys(void **state)
{
    (void)state;
    assert_null(conf_foreign_key("listener", SLICE("bnid")));
    assert_null(conf_foreign_key("server", SLICE("listen")));
    assert_null(conf_foreign_key("nowhere", SLICE("listen")));
    assert_null(conf_foreign_value("balance", SLICE("")));
    assert_null(conf_foreign_value("protocol", SLICE("leastconn")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_others_are_said_in_weirs),
        cmocka_unit_test(other_words_are_nobodys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
