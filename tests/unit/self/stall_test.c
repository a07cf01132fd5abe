#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "self/stall.h"

#define BOUND 1000u
#define STEP 125u

/* Looks every STEP from `from` to `until`, at a loop that does not turn; returns what was news last, and counts the asking. */
static enum stall_news look_on(struct stall *s, uint64_t turns, uint64_t from, uint64_t until,
                               uint32_t *asked)
{
    enum stall_news last = STALL_NONE;
    for (uint64_t at = from; at <= until; at += STEP) {
        enum stall_news news = stall_look(s, turns, at, BOUND);
        if (news == STALL_ASK) ++*asked;
        if (news != STALL_NONE) last = news;
    }
    return last;
}

static void a_loop_that_turns_is_never_asked(void **state)
{
    (void)state;
    struct stall s = { 0 };
    for (uint64_t i = 1; i < 100; i++) {
        assert_int_equal(stall_look(&s, i, i * STEP, BOUND), STALL_NONE);
        assert_int_equal(stall_held_ms(&s, i * STEP), 0);
    }
    assert_int_equal(s.count, 0);
}

static void one_that_sleeps_is_asked_and_is_well_when_it_turns(void **state)
{
    (void)state;
    struct stall s = { 0 };
    uint64_t turns = 0;
    for (uint64_t i = 0; i <= 100 * BOUND / STEP; i++)
        turns += stall_look(&s, turns, i * STEP, BOUND) == STALL_ASK;
    assert_int_equal(s.count, 0);
    assert_int_equal(turns,
                     100 * BOUND / (BOUND / 2 + STEP)); /* after half of it, and seen at the next look */
}

static void one_that_does_not_turn_though_asked_is_stuck_at_the_bound_and_not_before(void **state)
{
    (void)state;
    struct stall s = { 0 };
    uint32_t asked = 0;
    assert_int_equal(stall_look(&s, 7, 0, BOUND), STALL_NONE);
    assert_int_equal(look_on(&s, 7, STEP, BOUND / 2 - 1, &asked), STALL_NONE);
    assert_int_equal(stall_look(&s, 7, BOUND / 2, BOUND), STALL_ASK);
    assert_int_equal(look_on(&s, 7, BOUND / 2 + STEP, BOUND / 2 + BOUND - 1, &asked), STALL_NONE);
    assert_int_equal(s.count, 0);
    assert_int_equal(stall_look(&s, 7, BOUND / 2 + BOUND, BOUND), STALL_BEGUN);
    assert_int_equal(s.count, 1);
    assert_int_equal(look_on(&s, 7, BOUND / 2 + STEP + BOUND, 9000, &asked), STALL_NONE);
    assert_int_equal(asked, 0);
    assert_int_equal(stall_held_ms(&s, 9000), 9000 - BOUND / 2);
}

static void when_it_turns_again_the_time_is_added_up(void **state)
{
    (void)state;
    struct stall s = { 0 };
    uint32_t asked = 0;
    assert_int_equal(look_on(&s, 1, 0, 3000, &asked), STALL_BEGUN);
    assert_int_equal(stall_look(&s, 2, 3125, BOUND), STALL_ENDED);
    assert_int_equal(s.past_ms, 3125 - BOUND / 2);
    assert_int_equal(s.longest_ms, s.past_ms);
    assert_int_equal(stall_held_ms(&s, 3125), 0);
    assert_int_equal(look_on(&s, 2, 3250, 5250, &asked), STALL_BEGUN);
    assert_int_equal(stall_look(&s, 3, 5375, BOUND), STALL_ENDED);
    assert_int_equal(s.count, 2);
    assert_int_equal(s.past_ms, 3125 - BOUND / 2 + 5375 - 3125 - BOUND / 2);
    assert_int_equal(s.longest_ms, 3125 - BOUND / 2);
}

static void who_looks_and_was_held_up_himself_knows_nothing_of_others(void **state)
{
    (void)state;
    struct stall s = { 0 };
    uint32_t asked = 0;
    assert_int_equal(look_on(&s, 1, 0, 500, &asked), STALL_ASK);
    assert_int_equal(stall_look(&s, 1, 60000, BOUND), STALL_ASK); /* the host slept */
    assert_int_equal(look_on(&s, 1, 60125, 60875, &asked), STALL_NONE);
    assert_int_equal(stall_look(&s, 1, 61000, BOUND), STALL_BEGUN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_that_turns_is_never_asked),
        cmocka_unit_test(one_that_sleeps_is_asked_and_is_well_when_it_turns),
        cmocka_unit_test(one_that_does_not_turn_though_asked_is_stuck_at_the_bound_and_not_before),
        cmocka_unit_test(when_it_turns_again_the_time_is_added_up),
        cmocka_unit_test(who_looks_and_was_held_up_himself_knows_nothing_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
