/* Whether a server is one for pipelining: what its responses' times, its closing and what was lost say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "net/loop.h"
#include "pool/pipelining.h"

static void note(struct pipelining *p, unsigned count, uint64_t took_us)
{
    for (unsigned i = 0; i < count; i++) pipelining_note(p, took_us * 1000, 8);
}

static uint32_t depth(const struct pipelining *p)
{
    return pipelining_depth(p, 4, 1, 1000);
}

static void a_server_whose_slowest_are_far_slower_than_its_median_is_asked_one_by_one(void **state)
{
    (void)state;
    static const struct {
        uint64_t usual_us, slow_us;
        unsigned slow; /* of 250 */
        uint32_t depth;
    } cases[] = {
        { 100, 100, 0, 4 },          { 100, 7000, 10, 4 }, /* below 8 ms all is well */
        { 100, 20000, 3, 1 },        { 100, 20000, 2, 4 }, /* less than one of a hundred */
        { 20000, 100000, 9, 4 },     { 20000, 400000, 9, 1 },
        { 4000000, 60000000, 9, 4 }, /* longer is all the same */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct pipelining p = { .samples = 0 };
        note(&p, 250 - cases[i].slow, cases[i].usual_us);
        assert_int_equal(depth(&p), 4); /* not before the window is full */
        note(&p, cases[i].slow, cases[i].slow_us);
        assert_int_equal(depth(&p), cases[i].depth);
        note(&p, 250, 100); /* and again, once it is even */
        assert_int_equal(depth(&p), 4);
    }
}

static void what_was_lost_is_not_risked_again_at_once(void **state)
{
    (void)state;
    struct pipelining p = { .samples = 0 };
    pipelining_lose(&p, H1_PIPELINE_BROKEN, 0, 5, 1000);
    assert_int_equal(depth(&p), 4);
    pipelining_lose(&p, H1_PIPELINE_BROKEN, 1, 5, 1000);
    assert_int_equal(depth(&p), 1);
    assert_int_equal(pipelining_depth(&p, 4, 1, 1000 + 29999), 1);
    assert_int_equal(pipelining_depth(&p, 4, 1, 1000 + 30000), 4);
    pipelining_lose(&p, H1_PIPELINE_HELD_UP, 2, 5, 50000);
    assert_int_equal(pipelining_depth(&p, 4, 1, 50001), 1);
    pipelining_lose(&p, H1_PIPELINE_CLOSED, 0, 5, 100000); /* closes after a few */
    assert_int_equal(pipelining_depth(&p, 4, 1, 100001), 1);
}

static void how_many_requests_a_connection_is_for_is_learned(void **state)
{
    (void)state;
    struct pipelining p = { .samples = 0 };
    pipelining_lose(&p, H1_PIPELINE_CLOSED, 3, 103, 1000);
    assert_int_equal(pipelining_depth(&p, 4, 99, 1000), 4);
    assert_int_equal(pipelining_depth(&p, 4, 100, 1000), 1); /* nobody behind the last */
    pipelining_outlive(&p, 100);
    assert_int_equal(pipelining_depth(&p, 4, 100, 1000), 1);
    pipelining_outlive(&p, 101);
    assert_int_equal(pipelining_depth(&p, 4, 101, 1000), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_server_whose_slowest_are_far_slower_than_its_median_is_asked_one_by_one),
        cmocka_unit_test(what_was_lost_is_not_risked_again_at_once),
        cmocka_unit_test(how_many_requests_a_connection_is_for_is_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
