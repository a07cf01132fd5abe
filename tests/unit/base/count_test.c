#include "base/count.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/refs.h"

static int survive(void **state)
{
    (void)state;
    bug_be_fatal(false);
    return 0;
}

static void nothing_is_counted_below_none(void **state)
{
    (void)state;
    uint32_t own = 1;
    _Atomic uint32_t shared = 1;
    uint64_t before = bug_count(BUG_QUEUE);
    count_less(QUEUE, &own);
    count_less_shared(QUEUE, &shared);
    assert_int_equal(bug_count(BUG_QUEUE), before);
    count_less(QUEUE, &own);
    count_less_shared(QUEUE, &shared);
    assert_int_equal(bug_count(BUG_QUEUE), before + 2);
    assert_int_equal(own, 0);
    assert_int_equal(atomic_load(&shared), 0);
}

static void the_last_reference_that_is_put_back_says_so(void **state)
{
    (void)state;
    _Atomic uint32_t refs = 1;
    uint64_t before = bug_count(BUG_SITE);
    refs_get(SITE, &refs);
    assert_false(refs_put(SITE, &refs));
    assert_true(refs_put(SITE, &refs));
    assert_int_equal(bug_count(BUG_SITE), before);
}

static void who_puts_back_what_he_does_not_have_is_not_the_last(void **state)
{
    (void)state;
    _Atomic uint32_t refs = 0;
    uint64_t before = bug_count(BUG_SITE);
    assert_false(refs_put(SITE, &refs));
    assert_int_equal(bug_count(BUG_SITE), before + 1);
    atomic_store(&refs, 0);
    refs_get(SITE, &refs);
    assert_int_equal(bug_count(BUG_SITE), before + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_counted_below_none),
        cmocka_unit_test(the_last_reference_that_is_put_back_says_so),
        cmocka_unit_test(who_puts_back_what_he_does_not_have_is_not_the_last),
    };
    return cmocka_run_group_tests(tests, survive, NULL);
}
