/* What becomes of what is known, on a clock that stands where it is put. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "discovery/freshness.h"

#define EMPTY_AFTER_MS 10000u

struct step {
    uint64_t now_ms;
    enum source_result result;
    uint64_t holds_ms;
    enum freshness_verdict verdict;
    uint64_t next_ms, stale_since_ms, doubtful_since_ms;
};

static void go(const struct step *steps, size_t count)
{
    struct freshness f = { 0 };
    for (size_t i = 0; i < count; i++) {
        const struct step *s = &steps[i];
        uint64_t next_ms = 0;
        assert_int_equal(freshness_judge(&f, s->result, s->holds_ms, EMPTY_AFTER_MS, s->now_ms, &next_ms),
                         s->verdict);
        assert_int_equal(next_ms, s->next_ms);
        assert_int_equal(f.stale_since_ms, s->stale_since_ms);
        assert_int_equal(f.doubtful_since_ms, s->doubtful_since_ms);
        assert_true(f.has_answered);
    }
}

#define GO(steps) go((steps), sizeof(steps) / sizeof(*(steps)))

static void a_good_answer_holds_for_its_time(void **state)
{
    (void)state;
    static const struct step steps[] = {
        { 1000, SOURCE_FOUND, 5000, FRESHNESS_TAKE, 5000, 0, 0 },
        { 6000, SOURCE_FOUND, 1000, FRESHNESS_TAKE, 1000, 0, 0 },
        { 7000, SOURCE_FOUND, 0, FRESHNESS_TAKE, 0, 0, 0 },
    };
    GO(steps);
}

static void who_cannot_be_asked_takes_nothing_away_however_long_it_lasts(void **state)
{
    (void)state;
    static const struct step steps[] = {
        { 1000, SOURCE_FOUND, 5000, FRESHNESS_TAKE, 5000, 0, 0 },
        { 6000, SOURCE_FAILED, 0, FRESHNESS_KEEP, 1000, 6000, 6000 },
        { 7000, SOURCE_FAILED, 0, FRESHNESS_KEEP, 2000, 6000, 6000 },
        { 9000, SOURCE_FAILED, 0, FRESHNESS_KEEP, 4000, 6000, 6000 },
        { 13000, SOURCE_FAILED, 0, FRESHNESS_KEEP, 8000, 6000, 6000 },
        { 21000, SOURCE_FAILED, 0, FRESHNESS_KEEP, 10000, 6000, 6000 },
        { 86400000, SOURCE_FAILED, 0, FRESHNESS_KEEP, 10000, 6000, 6000 },
        { 86410000, SOURCE_FOUND, 5000, FRESHNESS_TAKE, 5000, 0, 0 },
        { 86415000, SOURCE_FAILED, 0, FRESHNESS_KEEP, 1000, 86415000, 86415000 },
    };
    GO(steps);
}

static void that_there_is_nobody_is_believed_when_it_has_been_said_for_a_while(void **state)
{
    (void)state;
    static const struct step steps[] = {
        { 1000, SOURCE_FOUND, 5000, FRESHNESS_TAKE, 5000, 0, 0 },
        { 6000, SOURCE_EMPTY, 0, FRESHNESS_KEEP, 1000, 6000, 6000 },
        { 7000, SOURCE_EMPTY, 0, FRESHNESS_KEEP, 2000, 6000, 6000 },
        { 9000, SOURCE_EMPTY, 0, FRESHNESS_KEEP, 4000, 6000, 6000 },
        { 13000, SOURCE_EMPTY, 0, FRESHNESS_KEEP, 3000, 6000, 6000 }, /* not later than it may be believed */
        { 16000, SOURCE_EMPTY, 0, FRESHNESS_DROP, 10000, 6000, 0 },
        { 26000, SOURCE_EMPTY, 0, FRESHNESS_DROP, 10000, 6000, 0 }, /* there is nobody, and no doubt of it */
        { 36000, SOURCE_FAILED, 0, FRESHNESS_KEEP, 10000, 6000, 36000 },
        { 37000, SOURCE_EMPTY, 0, FRESHNESS_DROP, 10000, 6000, 0 },
        { 38000, SOURCE_FOUND, 5000, FRESHNESS_TAKE, 5000, 0, 0 },
        { 43000, SOURCE_EMPTY, 0, FRESHNESS_KEEP, 1000, 43000, 43000 }, /* from the beginning */
        { 44000, SOURCE_FOUND, 5000, FRESHNESS_TAKE, 5000, 0, 0 },
    };
    GO(steps);
}

static void no_answer_says_neither_that_there_is_nobody_nor_that_there_is_somebody(void **state)
{
    (void)state;
    static const struct step steps[] = {
        { 1000, SOURCE_FOUND, 5000, FRESHNESS_TAKE, 5000, 0, 0 },
        { 6000, SOURCE_FAILED, 0, FRESHNESS_KEEP, 1000, 6000, 6000 },
        { 20000, SOURCE_EMPTY, 0, FRESHNESS_KEEP, 2000, 6000, 6000 },
        { 22000, SOURCE_FAILED, 0, FRESHNESS_KEEP, 4000, 6000, 6000 },
        { 30000, SOURCE_EMPTY, 0, FRESHNESS_DROP, 8000, 6000, 0 },
    };
    GO(steps);
}

static void nothing_known_is_nothing_whatever_the_first_answer_is(void **state)
{
    (void)state;
    struct freshness f = { 0 };
    uint64_t next_ms;
    assert_int_equal(freshness_judge(&f, SOURCE_FAILED, 0, EMPTY_AFTER_MS, 1000, &next_ms), FRESHNESS_KEEP);
    assert_false(f.has_found);
    assert_int_equal(f.good_ms, 0);
    assert_int_equal(freshness_judge(&f, SOURCE_EMPTY, 0, 0, 2000, &next_ms), FRESHNESS_DROP);
    assert_false(f.has_found);
    assert_int_equal(freshness_judge(&f, SOURCE_FOUND, 7, 0, 3000, &next_ms), FRESHNESS_TAKE);
    assert_true(f.has_found);
    assert_int_equal(f.good_ms, 3000);
    assert_int_equal(f.failures, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_answer_holds_for_its_time),
        cmocka_unit_test(who_cannot_be_asked_takes_nothing_away_however_long_it_lasts),
        cmocka_unit_test(that_there_is_nobody_is_believed_when_it_has_been_said_for_a_while),
        cmocka_unit_test(no_answer_says_neither_that_there_is_nobody_nor_that_there_is_somebody),
        cmocka_unit_test(nothing_known_is_nothing_whatever_the_first_answer_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
