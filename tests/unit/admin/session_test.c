#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
/* after the above */
#include "admin/session.h"
#include <cmocka.h>

static struct sessions sessions;

static int begin_anew(void **state)
{
    (void)state;
    memset(&sessions, 0, sizeof(sessions));
    return 0;
}

static void a_session_is_found_by_its_id_and_nothing_else(void **state)
{
    (void)state;
    char id[SESSION_ID_TEXT + 1], other[SESSION_ID_TEXT + 1];
    sessions_begin(&sessions, "ops", 1, id);
    sessions_begin(&sessions, "grafana", 1, other);
    assert_string_not_equal(id, other);
    assert_string_equal(sessions_find(&sessions, slice_of(id), 2)->name, "ops");
    assert_string_equal(sessions_find(&sessions, slice_of(other), 2)->name, "grafana");
    for (size_t i = 0; i < SESSION_ID_TEXT; i++) {
        char wrong[SESSION_ID_TEXT + 1];
        memcpy(wrong, id, sizeof(wrong));
        wrong[i] = wrong[i] == '0' ? '1' : '0';
        assert_null(sessions_find(&sessions, slice_of(wrong), 2));
        wrong[i] = 'G';
        assert_null(sessions_find(&sessions, slice_of(wrong), 2));
    }
    assert_null(sessions_find(&sessions, (struct slice){ id, SESSION_ID_TEXT - 1 }, 2));
    assert_null(sessions_find(&sessions, SLICE_NONE, 2));
    /* What an empty place would have. */
    char zeros[SESSION_ID_TEXT + 1];
    memset(zeros, '0', SESSION_ID_TEXT);
    zeros[SESSION_ID_TEXT] = 0;
    assert_null(sessions_find(&sessions, slice_of(zeros), 2));
}

static void it_ends_when_it_is_not_used_and_at_last_in_any_case(void **state)
{
    (void)state;
    char id[SESSION_ID_TEXT + 1];
    sessions_begin(&sessions, "ops", 0, id);
    uint64_t now = 0;
    for (; now <= SESSION_MAX_MS; now += SESSION_IDLE_MS)
        assert_non_null(sessions_find(&sessions, slice_of(id), now));
    assert_null(sessions_find(&sessions, slice_of(id), now));
    sessions_begin(&sessions, "ops", now, id);
    assert_null(sessions_find(&sessions, slice_of(id), now + SESSION_IDLE_MS + 1));
    assert_int_equal(sessions_count(&sessions, now), 0);
}

static void signing_out_and_a_token_that_is_gone_end_it(void **state)
{
    (void)state;
    char a[SESSION_ID_TEXT + 1], b[SESSION_ID_TEXT + 1], c[SESSION_ID_TEXT + 1];
    sessions_begin(&sessions, "ops", 1, a);
    sessions_begin(&sessions, "ops", 1, b);
    sessions_begin(&sessions, "grafana", 1, c);
    uint64_t number = sessions_find(&sessions, slice_of(a), 1)->number;
    sessions_end(&sessions, number);
    sessions_end(&sessions, 0);
    assert_null(sessions_find(&sessions, slice_of(a), 1));
    assert_non_null(sessions_find(&sessions, slice_of(b), 1));
    sessions_end_of(&sessions, "ops");
    assert_null(sessions_find(&sessions, slice_of(b), 1));
    assert_non_null(sessions_find(&sessions, slice_of(c), 1));
}

static void of_too_many_the_one_that_was_used_longest_ago_makes_room(void **state)
{
    (void)state;
    char first[SESSION_ID_TEXT + 1], second[SESSION_ID_TEXT + 1], other[SESSION_ID_TEXT + 1];
    sessions_begin(&sessions, "first", 1, first);
    sessions_begin(&sessions, "second", 2, second);
    for (uint64_t i = 2; i < SESSIONS_MAX; i++) sessions_begin(&sessions, "other", 2, other);
    assert_non_null(sessions_find(&sessions, slice_of(first), 2));
    sessions_begin(&sessions, "one-more", 2, other);
    assert_null(sessions_find(&sessions, slice_of(second), 2));
    assert_non_null(sessions_find(&sessions, slice_of(first), 2));
    assert_int_equal(sessions_count(&sessions, 2), SESSIONS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_session_is_found_by_its_id_and_nothing_else, begin_anew),
        cmocka_unit_test_setup(it_ends_when_it_is_not_used_and_at_last_in_any_case, begin_anew),
        cmocka_unit_test_setup(signing_out_and_a_token_that_is_gone_end_it, begin_anew),
        cmocka_unit_test_setup(of_too_many_the_one_that_was_used_longest_ago_makes_room, begin_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
