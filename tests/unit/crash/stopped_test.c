#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "crash/core_file.h"
#include "crash/core_write.h"

#define SIGNALS 200

static volatile sig_atomic_t counted;
static const char planted[] = "what the child has in its memory";

static void count(int signal)
{
    (void)signal;
    counted++;
}

/* Counts SIGRTMIN until SIGTERM comes, and says how many by its exit code. */
static void serve(int ready)
{
    struct sigaction action = { .sa_handler = count };
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, &before);
    sigaction(SIGRTMIN, &action, NULL);
    if (write(ready, "r", 1) != 1) _exit(255);
    while (sigwaitinfo(&set, NULL) < 0 && errno == EINTR) {}
    _exit(counted);
}

static pid_t start_child(void)
{
    int ends[2];
    char byte;
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    if (pid == 0) serve(ends[1]);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
    close(ends[1]);
    return pid;
}

static int end_child(pid_t pid)
{
    int status = 0;
    kill(pid, SIGTERM);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void a_process_that_is_held_shows_registers_and_memory(void **state)
{
    (void)state;
    struct stopped s;
    struct err err;
    char text[sizeof(planted)];
    pid_t pid = start_child();
    assert_int_equal(stopped_hold(&s, pid, &err), 0);
    assert_int_equal(s.image.thread_count, 1);
    assert_int_equal(s.image.threads[0].tid, pid);
    assert_non_null(image_segment_of(&s.image, registers_pc(&s.image.threads[0].registers)));
    assert_true(memory_read(&s.image.memory, (uintptr_t)planted, text, sizeof(text)));
    assert_string_equal(text, planted);
    stopped_resume(&s);
    assert_true(s.held_ns > 0);
    stopped_fini(&s);
    end_child(pid);
}

static void signals_that_come_meanwhile_are_not_lost(void **state)
{
    (void)state;
    pid_t pid = start_child();
    for (int i = 0; i < SIGNALS; i++) {
        struct stopped s;
        struct err err;
        assert_int_equal(sigqueue(pid, SIGRTMIN, (union sigval){ 0 }), 0);
        if (i % 10) continue;
        assert_int_equal(stopped_hold(&s, pid, &err), 0);
        stopped_fini(&s);
    }
    assert_int_equal(end_child(pid), SIGNALS);
}

static void a_copy_reads_like_the_process(void **state)
{
    (void)state;
    struct stopped s;
    struct image copy;
    struct err err = { "" };
    uint64_t bytes = 0, frame = 0;
    pid_t pid = start_child();
    int fd = memfd_create("copy", MFD_CLOEXEC);
    assert_int_equal(stopped_hold(&s, pid, &err), 0);
    uint64_t sp = registers_sp(&s.image.threads[0].registers), there = 0;
    assert_true(memory_read(&s.image.memory, sp, &there, sizeof(there)));
    assert_int_equal(core_write(&s, fd, &bytes, &err), 0);
    image_init(&copy);
    assert_int_equal(core_file_read(&copy, fd, &err), 0);
    assert_int_equal(copy.thread_count, 1);
    assert_int_equal(registers_sp(&copy.threads[0].registers), sp);
    assert_true(memory_read(&copy.memory, sp, &frame, sizeof(frame)));
    assert_int_equal(frame, there);
    assert_int_equal(copy.segment_count, s.image.segment_count);
    assert_int_equal(copy.file_count, s.image.file_count);
    image_fini(&copy);
    stopped_fini(&s);
    end_child(pid);
}

static void nobody_cannot_be_held(void **state)
{
    (void)state;
    struct stopped s;
    struct err err;
    assert_int_equal(stopped_hold(&s, 999999999, &err), -1);
    assert_non_null(strstr(err.text, "there is no such process"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_that_is_held_shows_registers_and_memory),
        cmocka_unit_test(signals_that_come_meanwhile_are_not_lost),
        cmocka_unit_test(a_copy_reads_like_the_process),
        cmocka_unit_test(nobody_cannot_be_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
