#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after the above */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/signal_stack.h"
#include "crash/crash.h"

/* A child crashes; what it says goes into a directory that is removed again. */
struct victim {
    char dir[64], summary[65536];
    int status;
};

static void read_summary(struct victim *v, pid_t pid)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/crash.%d.txt", v->dir, pid);
    FILE *f = fopen(path, "re");
    size_t len = f ? fread(v->summary, 1, sizeof(v->summary) - 1, f) : 0;
    v->summary[len] = 0;
    if (f) fclose(f);
    unlink(path);
}

static void let_crash(struct victim *v, void (*crash)(void))
{
    snprintf(v->dir, sizeof(v->dir), "/tmp/weir-crash-XXXXXX");
    assert_non_null(mkdtemp(v->dir));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        const struct crash_conf conf = { .version = "1.2.3", .is_lean = true, .dir = v->dir };
        const struct rlimit none = { 0, 0 };
        struct err err;
        setrlimit(RLIMIT_CORE, &none);
        if (!freopen("/dev/null", "w", stderr) || crash_install(&conf, &err) < 0) _exit(1);
        crash();
        _exit(2);
    }
    assert_int_equal(waitpid(pid, &v->status, 0), pid);
    read_summary(v, pid);
    rmdir(v->dir);
}

static void assert_killed(const struct victim *v, int signal)
{
    assert_true(WIFSIGNALED(v->status));
    assert_int_equal(WTERMSIG(v->status), signal);
}

static void assert_said(const struct victim *v, const char *text)
{
    if (!strstr(v->summary, text)) fail_msg("no \"%s\" in:\n%s", text, v->summary);
}

static volatile uintptr_t nowhere = 0x10;

static void write_to_nowhere(void)
{
    *(volatile int *)nowhere = 1;
}

static void a_fault_is_told_with_its_address_and_then_ends_the_process(void **state)
{
    (void)state;
    struct victim v;
    let_crash(&v, write_to_nowhere);
    assert_killed(&v, SIGSEGV);
    assert_said(&v, "weir 1.2.3 crashed: SIGSEGV (invalid memory reference): no memory is mapped there");
    assert_said(&v, "address 0x0000000000000010\n");
    assert_said(&v, "\nregisters:\n");
    assert_said(&v, "\nstack:\n   #0 0x");
    assert_said(&v, "crash_crash_test+0x");
    assert_said(&v, "end of the summary\n");
}

static void abort_here(void)
{
    abort();
}

static void an_abort_is_told(void **state)
{
    (void)state;
    struct victim v;
    let_crash(&v, abort_here);
    assert_killed(&v, SIGABRT);
    assert_said(&v, "crashed: SIGABRT (aborted): sent by a thread");
}

/* Deeper than any stack; what comes back is used, so that no call can be left out. */
static uint64_t recurse(uint64_t depth, volatile char *above) // NOLINT(misc-no-recursion)
{
    volatile char here[4096];
    here[0] = above ? above[0] : (char)depth;
    return depth == UINT64_MAX ? 0 : 1 + recurse(depth + 1, here) + (uint64_t)here[0];
}

static void use_up_the_stack(void)
{
    _exit(recurse(0, NULL) == 7);
}

static void a_stack_that_is_used_up_is_told_from_another_one(void **state)
{
    (void)state;
    struct victim v;
    let_crash(&v, use_up_the_stack);
    assert_killed(&v, SIGSEGV);
    assert_said(&v, "crashed: SIGSEGV");
    assert_said(&v, "end of the summary\n");
}

static void tell(const void *context, const struct memory_view *memory, struct crash_out *out)
{
    char text[32];
    memory_read_text(memory, (uintptr_t)context, text, sizeof(text));
    text_add_slice(crash_line(out), slice_of(text));
    crash_line_end(out);
}

static void crash_with_a_story(void)
{
    crash_set_story(tell, "what the owner says");
    raise(SIGILL);
}

static void the_owner_has_his_say(void **state)
{
    (void)state;
    struct victim v;
    let_crash(&v, crash_with_a_story);
    assert_killed(&v, SIGILL);
    assert_said(&v, "\nwhat the owner says\nend of the summary\n");
}

static uint32_t unwind_into_nowhere(const struct user_regs_struct *r, const struct memory_view *memory,
                                    uint64_t *pcs, uint32_t max)
{
    (void)r, (void)memory, (void)pcs, (void)max;
    write_to_nowhere();
    return 0;
}

static void crash_with_a_bad_unwinder(void)
{
    crash_set_unwinder(unwind_into_nowhere);
    crash_with_a_story();
}

static void a_fault_within_one_part_does_not_hide_the_next(void **state)
{
    (void)state;
    struct victim v;
    let_crash(&v, crash_with_a_bad_unwinder);
    assert_killed(&v, SIGILL);
    assert_said(&v, "(what comes here could not be read)\nwhat the owner says\nend of the summary\n");
}

static void tell_badly(const void *context, const struct memory_view *memory, struct crash_out *out)
{
    (void)context, (void)memory, (void)out;
    abort();
}

static void crash_with_a_bad_story(void)
{
    crash_set_story(tell_badly, NULL);
    write_to_nowhere();
}

static void an_abort_within_the_story_still_ends_by_the_first_signal(void **state)
{
    (void)state;
    struct victim v;
    let_crash(&v, crash_with_a_bad_story);
    assert_killed(&v, SIGSEGV);
    assert_said(&v, "end of the summary\n");
}

static pthread_barrier_t together;

static void *crash_together(void *unused)
{
    (void)unused;
    signal_stack_open();
    pthread_barrier_wait(&together);
    raise(SIGBUS);
    return NULL;
}

static void crash_in_four_threads(void)
{
    pthread_t threads[4];
    pthread_barrier_init(&together, NULL, 4);
    for (int i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, crash_together, NULL) != 0) _exit(3);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
}

static void threads_that_crash_together_tell_once(void **state)
{
    (void)state;
    struct victim v;
    let_crash(&v, crash_in_four_threads);
    assert_killed(&v, SIGBUS);
    assert_said(&v, "end of the summary\n");
    const char *first = strstr(v.summary, "crashed:");
    assert_non_null(first);
    assert_null(strstr(first + 1, "crashed:"));
}

static void use_up_descriptors(void)
{
    while (dup(0) >= 0) {}
    raise(SIGSEGV);
}

static void it_is_told_when_descriptors_have_run_out(void **state)
{
    (void)state;
    struct victim v;
    let_crash(&v, use_up_descriptors);
    assert_killed(&v, SIGSEGV);
    assert_said(&v, "end of the summary\n");
}

static void stop_reading_stderr(void)
{
    int ends[2];
    char byte = 0;
    if (pipe2(ends, O_NONBLOCK) < 0) _exit(3);
    while (write(ends[1], &byte, 1) == 1) {}
    fcntl(ends[1], F_SETFL, 0);
    dup2(ends[1], STDERR_FILENO);
    raise(SIGSEGV);
}

static void a_pipe_that_nobody_reads_does_not_keep_it_from_ending(void **state)
{
    (void)state;
    struct victim v;
    let_crash(&v, stop_reading_stderr);
    assert_killed(&v, SIGSEGV);
    assert_said(&v, "end of the summary\n");
}

static void a_directory_that_cannot_be_used_is_said(void **state)
{
    (void)state;
    const struct crash_conf conf = { .version = "1", .dir = "/absent/directory" };
    struct err err = { "" };
    assert_int_equal(crash_install(&conf, &err), -1);
    assert_string_equal(err.text, "cannot write to core.dir /absent/directory: No such file or directory");
    crash_uninstall();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fault_is_told_with_its_address_and_then_ends_the_process),
        cmocka_unit_test(an_abort_is_told),
        cmocka_unit_test(a_stack_that_is_used_up_is_told_from_another_one),
        cmocka_unit_test(the_owner_has_his_say),
        cmocka_unit_test(a_fault_within_one_part_does_not_hide_the_next),
        cmocka_unit_test(an_abort_within_the_story_still_ends_by_the_first_signal),
        cmocka_unit_test(threads_that_crash_together_tell_once),
        cmocka_unit_test(it_is_told_when_descriptors_have_run_out),
        cmocka_unit_test(a_pipe_that_nobody_reads_does_not_keep_it_from_ending),
        cmocka_unit_test(a_directory_that_cannot_be_used_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
