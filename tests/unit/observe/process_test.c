#include "observe/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void this_process_is_read(void **state)
{
    (void)state;
    struct err err = { "" };
    struct process_reader r;
    struct process_sample s;
    process_sample_init(&s);
    if (process_reader_open(&r, getpid(), NULL, &err) < 0) fail_msg("%s", err.text);
    if (process_sample_read(&r, &s, &err) < 0) fail_msg("%s", err.text);
    assert_string_equal(s.name, "observe_process");
    assert_int_equal(s.state, 'R');
    assert_int_equal(s.parent, getppid());
    assert_true(s.cpu_ns > 0);
    assert_true(s.known & PROCESS_KNOWS_MEMORY);
    assert_true(s.memory.resident_bytes > 100000);
    assert_true(s.memory.peak_bytes >= s.memory.resident_bytes);
    assert_true(s.thread_count >= 1);
    assert_int_equal(s.threads[0].tid, getpid());
    process_sample_fini(&s);
    process_reader_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_process_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
