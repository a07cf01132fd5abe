#include "base/end_reason.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_reason_has_a_name_of_its_own_and_a_meaning(void **state)
{
    (void)state;
    for (unsigned i = 0; i < END_REASON_COUNT; i++) {
        const struct end_reason_info *info = end_reason_info((enum end_reason)i);
        assert_int_equal(end_reason_by_name(info->name), i);
        for (const char *c = info->name; *c; c++)
            assert_true(islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_');
        assert_true(strlen(info->means) > 3);
        assert_true(info->means[strlen(info->means) - 1] != '.');
        assert_true(info->status == 0 || (info->status >= 400 && info->status < 600));
    }
}

/* What is known to have gone to no server may go to another, whatever it was. */
static void some_reasons_say_that_the_server_could_not_be_reached(void **state)
{
    (void)state;
    unsigned found = 0;
    for (unsigned i = 0; i < END_REASON_COUNT; i++) {
        const struct end_reason_info *info = end_reason_info((enum end_reason)i);
        if (!info->is_connect) continue;
        assert_int_equal(info->origin, ORIGIN_SERVER);
        found++;
    }
    assert_int_equal(found, 8);
    assert_true(end_reason_info(END_CONNECT_REFUSED)->is_connect);
    assert_true(end_reason_info(END_SERVER_CERTIFICATE)->is_connect);
    assert_false(end_reason_info(END_SERVER_TLS_CUT)->is_connect);
    assert_false(end_reason_info(END_SEND_FAILED)->is_connect);
}

/* A server is not to blame for what this host has none of. */
static void what_is_used_up_here_is_no_failure_of_a_server(void **state)
{
    (void)state;
    static const int ours[] = { EMFILE, ENFILE, ENOSPC, ENOMEM, ENOBUFS, EAGAIN };
    static const int theirs[] = { ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ENETUNREACH, EADDRNOTAVAIL };
    for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
        assert_int_equal(end_reason_info(end_reason_of_connect(ours[i]))->origin, ORIGIN_WEIR);
    for (size_t i = 0; i < sizeof(theirs) / sizeof(*theirs); i++)
        assert_true(end_reason_info(end_reason_of_connect(theirs[i]))->is_connect);
    assert_int_equal(end_reason_of_connect(ECONNREFUSED), END_CONNECT_REFUSED);
}

static void unknown_reasons_and_names_are_survived(void **state)
{
    (void)state;
    assert_string_equal(end_reason_info((enum end_reason)9999)->name, "internal");
    assert_int_equal(end_reason_by_name("no such reason"), END_REASON_COUNT);
    assert_string_equal(end_origin_name((enum end_origin)99), "none");
    assert_string_equal(end_origin_name(ORIGIN_SERVER), "server");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_has_a_name_of_its_own_and_a_meaning),
        cmocka_unit_test(some_reasons_say_that_the_server_could_not_be_reached),
        cmocka_unit_test(what_is_used_up_here_is_no_failure_of_a_server),
        cmocka_unit_test(unknown_reasons_and_names_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
