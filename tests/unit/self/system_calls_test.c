#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "own_process.h"
#include "self/system_calls.h"

#define IS_REFUSED(call) HOLDS((errno = 0, (call) == -1 && errno == EPERM))

static int give_up(void)
{
    struct err err;
    return system_calls_refuse(&err);
}

static int refuse_and_count(void)
{
    struct system_call_refused r;
    HOLDS(give_up() == 0);
    HOLDS(system_calls_are_filtered());
    HOLDS(!system_calls_take(&r) && system_calls_refused() == 0);
    IS_REFUSED(syscall(SYS_bpf, 0, NULL, 0));
    IS_REFUSED(syscall(SYS_bpf, 0, NULL, 0));
    IS_REFUSED(umount2("/nowhere", 0));
    HOLDS(system_calls_refused() == 3);
    HOLDS(system_calls_take(&r) && r.count == 1 && strcmp(r.name, "umount2") == 0);
    HOLDS(system_calls_take(&r) && r.count == 2 && strcmp(r.name, "bpf") == 0);
    HOLDS(!system_calls_take(&r));
    return 0;
}

static void what_is_refused_fails_and_is_counted_by_its_name(void **state)
{
    (void)state;
    assert_int_equal(in_own_process(refuse_and_count), 0);
}

static int call_others(void)
{
    HOLDS(give_up() == 0);
    HOLDS(getppid() > 0);
    HOLDS(syscall(SYS_set_mempolicy_home_node + 1000) == -1 && errno == ENOSYS);
    HOLDS(system_calls_refused() == 0);
    IS_REFUSED(syscall(0x40000000 + 39)); /* x32's getpid() */
    struct system_call_refused r;
    HOLDS(system_calls_take(&r) && strcmp(r.name, "of another machine") == 0);
    return 0;
}

static void what_is_unknown_is_not_there_and_what_is_usual_goes_on(void **state)
{
    (void)state;
    assert_int_equal(in_own_process(call_others), 0);
}

static int count_filters(void)
{
    char line[256];
    int count = -1;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "Seccomp_filters: %d", &count) == 1) break;
    if (f) fclose(f);
    return count;
}

static int refuse_twice(void)
{
    int before = count_filters();
    HOLDS(give_up() == 0);
    HOLDS(give_up() == 0);
    HOLDS(before < 0 || count_filters() == before + 1);
    HOLDS(system_calls_refused() == 0);
    IS_REFUSED(syscall(SYS_bpf, 0, NULL, 0));
    return 0;
}

static void a_weir_that_was_started_under_it_does_not_add_to_it(void **state)
{
    (void)state;
    assert_int_equal(in_own_process(refuse_twice), 0);
}

static void *do_nothing(void *context)
{
    return context;
}

static void *work(void *result)
{
    pthread_t t;
    int *line = result;
    static char name[] = "true";
    char *const arguments[] = { name, NULL };
    *line = 0;
    system_calls_refuse_in_worker();
    if (execve("/bin/true", arguments, NULL) != -1 || errno != EPERM) *line = __LINE__;
    if (unlink("/nowhere") != -1 || errno != EPERM) *line = __LINE__;
    if (rename("/nowhere", "/elsewhere") != -1 || errno != EPERM) *line = __LINE__;
    if (kill(getpid(), 0) != -1 || errno != EPERM) *line = __LINE__;
    if (tgkill(getppid(), getppid(), 0) != -1 || errno != EPERM) *line = __LINE__;
    if (tgkill(getpid(), gettid(), 0) != 0) *line = __LINE__; /* as abort() does */
    if (fork() != -1 || errno != EPERM) *line = __LINE__;
    if (pthread_create(&t, NULL, do_nothing, NULL) != 0 || pthread_join(t, NULL) != 0) *line = __LINE__;
    return NULL;
}

static int refuse_in_a_worker(void)
{
    pthread_t t;
    int line = -1;
    HOLDS(give_up() == 0);
    HOLDS(pthread_create(&t, NULL, work, &line) == 0 && pthread_join(t, NULL) == 0);
    if (line) return line % 256;
    HOLDS(unlink("/nowhere") == -1 && errno == ENOENT); /* others go on as before */
    pid_t child = fork();
    if (!child) _exit(0);
    HOLDS(child > 0 && waitpid(child, NULL, 0) == child);
    return 0;
}

static void a_worker_starts_threads_alone_and_changes_no_file_and_other_threads_do(void **state)
{
    (void)state;
    assert_int_equal(in_own_process(refuse_in_a_worker), 0);
}

static volatile sig_atomic_t seen;

static void on_other(int signal)
{
    seen = signal;
}

static int send_it(void)
{
    struct sigaction action = { .sa_handler = on_other };
    sigaction(SIGSYS, &action, NULL);
    HOLDS(give_up() == 0);
    raise(SIGSYS);
    HOLDS(seen == SIGSYS && system_calls_refused() == 0);
    return 0;
}

static void a_signal_that_somebody_sends_goes_to_the_handler_before(void **state)
{
    (void)state;
    assert_int_equal(in_own_process(send_it), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused_fails_and_is_counted_by_its_name),
        cmocka_unit_test(what_is_unknown_is_not_there_and_what_is_usual_goes_on),
        cmocka_unit_test(a_weir_that_was_started_under_it_does_not_add_to_it),
        cmocka_unit_test(a_worker_starts_threads_alone_and_changes_no_file_and_other_threads_do),
        cmocka_unit_test(a_signal_that_somebody_sends_goes_to_the_handler_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
