#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "logs/checkpoint.h"

static char directory[64];

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    return path;
}

static void assert_reads(const char *name, const char *expected)
{
    struct err err;
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(checkpoint_read(path_of(name), 100, &text, &len, &err), 0);
    assert_non_null(text);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
    free(text);
}

static void what_was_written_is_read_and_replaced_as_a_whole(void **state)
{
    struct err err;
    (void)state;
    assert_int_equal(checkpoint_write(path_of("c"), SLICE("the first, a longer one"), &err), 0);
    assert_reads("c", "the first, a longer one");
    assert_int_equal(checkpoint_write(path_of("c"), SLICE("second"), &err), 0);
    assert_reads("c", "second");
    assert_int_equal(checkpoint_write(path_of("c"), SLICE(""), &err), 0);
    assert_reads("c", "");
    assert_int_not_equal(access(path_of("c.new"), F_OK), 0);
}

static void what_a_stopped_write_left_behind_does_no_harm(void **state)
{
    struct err err;
    (void)state;
    assert_int_equal(checkpoint_write(path_of("d"), SLICE("whole"), &err), 0);
    assert_int_equal(checkpoint_write(path_of("d.new"), SLICE("ha"), &err), 0);
    assert_reads("d", "whole");
    assert_int_equal(checkpoint_write(path_of("d"), SLICE("next"), &err), 0);
    assert_reads("d", "next");
}

static void only_its_owner_may_read_it(void **state)
{
    struct err err;
    struct stat st;
    (void)state;
    assert_int_equal(checkpoint_write(path_of("e"), SLICE("x"), &err), 0);
    assert_int_equal(stat(path_of("e"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void no_file_is_no_checkpoint(void **state)
{
    struct err err;
    char *text = directory;
    size_t len = 1;
    (void)state;
    assert_int_equal(checkpoint_read(path_of("none"), 100, &text, &len, &err), 0);
    assert_null(text);
    assert_int_equal(len, 0);
}

static void what_is_too_large_or_no_file_is_refused(void **state)
{
    struct err err = { "" };
    char *text = NULL;
    size_t len = 0;
    (void)state;
    assert_int_equal(checkpoint_write(path_of("f"), SLICE("12345"), &err), 0);
    assert_int_equal(checkpoint_read(path_of("f"), 4, &text, &len, &err), -1);
    assert_non_null(strstr(err.text, "more than 4 bytes"));
    assert_int_equal(checkpoint_read(directory, 100, &text, &len, &err), -1);
    assert_int_equal(mkfifo(path_of("g"), 0600), 0);
    assert_int_equal(checkpoint_read(path_of("g"), 100, &text, &len, &err), -1);
    assert_null(text);
}

static void a_directory_that_is_not_there_is_said_so(void **state)
{
    struct err err = { "" };
    (void)state;
    assert_int_equal(checkpoint_write(path_of("no/where"), SLICE("x"), &err), -1);
    assert_non_null(strstr(err.text, "no/where.new"));
}

static int set_up(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/weir-checkpoint-XXXXXX");
    return mkdtemp(directory) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof(command), "rm -r %s", directory);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_and_replaced_as_a_whole),
        cmocka_unit_test(what_a_stopped_write_left_behind_does_no_harm),
        cmocka_unit_test(only_its_owner_may_read_it),
        cmocka_unit_test(no_file_is_no_checkpoint),
        cmocka_unit_test(what_is_too_large_or_no_file_is_refused),
        cmocka_unit_test(a_directory_that_is_not_there_is_said_so),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
