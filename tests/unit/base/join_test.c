#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <cmocka.h>

#include "base/join.h"

#define FAR_MS 60000u

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *wait_for_lock(void *unused)
{
    pthread_mutex_lock(&lock);
    pthread_mutex_unlock(&lock);
    return unused;
}

static void who_does_not_end_is_waited_for_no_longer(void **state)
{
    (void)state;
    pthread_t thread;
    pthread_mutex_lock(&lock);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_lock, NULL), 0);
    assert_false(join_within(thread, 0));
    assert_false(join_within(thread, 3));
    pthread_mutex_unlock(&lock);
    assert_true(join_within(thread, FAR_MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_does_not_end_is_waited_for_no_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
