#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <sys/syscall.h>
#include <unistd.h>
#include <cmocka.h>

#include "control/hardening.h"
#include "self/own_process.h"
#include "self/system_calls.h"

static int be_refused_before_anybody_listens(void)
{
    struct err err;
    struct budget budget = { .limit = 1 << 20 };
    struct proxy proxy = { .metrics = NULL };
    struct hardening_watch watch;
    struct system_call_refused r;
    struct loop loop;
    HOLDS(system_calls_refuse(&err) == 0 && loop_init(&loop, &budget, &err) == 0);
    HOLDS(metric_registry_new(&proxy.metrics, 1, 16, &err) == 0);
    HOLDS(syscall(SYS_bpf, 0, NULL, 0) == -1);
    HOLDS(hardening_watch_open(&watch, &proxy, &loop, &err) == 0);
    loop_turn(&loop, 0);
    HOLDS(system_calls_refused() == 1 && !system_calls_take(&r));
    return 0;
}

static void what_was_refused_before_anybody_listened_is_said(void **state)
{
    (void)state;
    assert_int_equal(in_own_process(be_refused_before_anybody_listens), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_refused_before_anybody_listened_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
