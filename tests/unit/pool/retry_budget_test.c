#include "crew.h"

#include "pool/pool_worker.h"

static struct crew c;

static void open_crew(uint32_t workers, uint32_t share, uint32_t reserve)
{
    crew_init(&c, "random", 2);
    c.conf.retry.budget = (struct retry_budget_conf){ share, reserve };
    crew_start(&c, workers);
}

/* So many requests come and end without a second attempt. */
static void pass_requests(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct pool_worker *pw = c.workers[i % c.worker_count];
        retry_budget_began(pw);
        retry_budget_ended(pw, false);
    }
}

static void end_all(struct pool_worker *pw, uint32_t again, uint32_t others)
{
    for (uint32_t i = 0; i < again + others; i++) retry_budget_ended(pw, i < again);
}

static uint32_t take_all(struct pool_worker *pw)
{
    uint32_t taken = 0;
    while (retry_budget_take(pw, false, false)) taken++;
    return taken;
}

static void the_first_requests_have_the_reserve(void **state)
{
    (void)state;
    open_crew(1, 20, 3);
    struct pool_worker *pw = c.workers[0];
    for (int i = 0; i < 3; i++) retry_budget_began(pw);
    assert_int_equal(take_all(pw), 3);
    end_all(pw, 3, 0);
    crew_stop(&c);
}

/* Each request fails for ever, on all workers: a fifth of them goes again, not one more. */
static void of_all_that_come_only_the_share_goes_again(void **state)
{
    (void)state;
    open_crew(4, 20, 3);
    uint32_t again = 0;
    for (uint32_t n = 1; n <= 10000; n++) {
        struct pool_worker *pw = c.workers[n % 4];
        retry_budget_began(pw);
        bool is_again = false;
        while (retry_budget_take(pw, is_again, false)) {
            is_again = true;
            again++;
        }
        retry_budget_ended(pw, is_again);
        assert_true(again <= (n / 5 > 3 ? n / 5 : 3));
    }
    assert_int_equal(again, 2000);
    assert_int_equal(c.pool->retries.retrying, 0);
    crew_stop(&c);
}

/* However much was earned: what goes on at a time is bounded by what goes on. */
static void a_good_time_does_not_pay_for_a_storm(void **state)
{
    (void)state;
    open_crew(2, 20, 3);
    struct pool_worker *pw = c.workers[1];
    pass_requests(100000);
    for (int i = 0; i < 50; i++) retry_budget_began(pw);
    assert_int_equal(take_all(pw), 3 + 10);
    end_all(pw, 13, 37);
    /* What was taken is spent: the next one has to be earned. */
    retry_budget_began(pw);
    assert_int_equal(take_all(pw), 0);
    retry_budget_ended(pw, false);
    crew_stop(&c);
}

static void whoever_has_had_one_is_counted_once(void **state)
{
    (void)state;
    open_crew(1, 100, 0);
    struct pool_worker *pw = c.workers[0];
    for (int i = 0; i < 5; i++) retry_budget_began(pw);
    assert_true(retry_budget_take(pw, false, false));
    for (int i = 0; i < 4; i++) assert_true(retry_budget_take(pw, true, false));
    assert_false(retry_budget_take(pw, true, false));
    assert_int_equal(c.pool->retries.retrying, 1);
    end_all(pw, 1, 4);
    assert_int_equal(c.pool->retries.retrying, 0);
    crew_stop(&c);
}

static void none_is_had_without_requests_and_reserve(void **state)
{
    (void)state;
    open_crew(1, 20, 0);
    struct pool_worker *pw = c.workers[0];
    for (int i = 0; i < 4; i++) retry_budget_began(pw);
    assert_int_equal(take_all(pw), 0);
    retry_budget_began(pw);
    assert_int_equal(take_all(pw), 1);
    end_all(pw, 1, 4);
    crew_stop(&c);
}

static void one_whose_server_hangs_goes_on_each_second(void **state)
{
    (void)state;
    open_crew(2, 20, 0);
    struct pool_worker *pw = c.workers[0];
    retry_budget_began(pw);
    assert_true(retry_budget_take(pw, false, true));
    retry_budget_began(pw);
    assert_false(retry_budget_take(c.workers[1], false, true));
    crew_pass_time(&c, 1000);
    assert_false(retry_budget_take(pw, false, false));
    assert_true(retry_budget_take(c.workers[1], false, true));
    assert_int_equal(c.pool->retries.retrying, 2);
    end_all(pw, 2, 0);
    crew_stop(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_requests_have_the_reserve),
        cmocka_unit_test(of_all_that_come_only_the_share_goes_again),
        cmocka_unit_test(a_good_time_does_not_pay_for_a_storm),
        cmocka_unit_test(whoever_has_had_one_is_counted_once),
        cmocka_unit_test(none_is_had_without_requests_and_reserve),
        cmocka_unit_test(one_whose_server_hangs_goes_on_each_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
