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

#include "net/file_watch.h"

static struct budget budget = { .limit = 64 << 20 };
static struct loop loop;
static struct file_watch watch;
static unsigned words;
static char folder[64];

static void on_change(void *context)
{
    (void)context;
    words++;
}

static int set_up(void **state)
{
    (void)state;
    struct err err;
    snprintf(folder, sizeof(folder), "/tmp/weir-watch-XXXXXX");
    if (!mkdtemp(folder) || chdir(folder) < 0 || loop_init(&loop, &budget, &err) < 0) return -1;
    loop.is_virtual = true;
    words = 0;
    file_watch_init(&watch, &loop, on_change, NULL);
    file_watch_open(&watch);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    file_watch_fini(&watch);
    loop_fini(&loop);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return chdir("/") < 0 ? -1 : system(command);
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void watch_file(const char *path)
{
    struct file_watch_set *set = file_watch_set_new(&watch);
    file_watch_set_add(set, path);
    assert_int_equal(file_watch_set_missed(set), 0);
    file_watch_use(&watch, set);
    loop_turn(&loop, 0);
    assert_int_equal(words, 0);
}

/* Whether it is said, once, when it has been quiet. */
static void expect_word(unsigned expected)
{
    unsigned before = words;
    loop_turn(&loop, 0);
    loop.now_ns += FILE_WATCH_QUIET_MS * NS_PER_MS;
    loop_turn(&loop, 0);
    assert_int_equal(words - before, expected);
}

static void a_write_is_said_when_it_is_quiet_again(void **state)
{
    (void)state;
    put("a", "1");
    watch_file("a");
    put("a", "2");
    loop_turn(&loop, 0);
    loop.now_ns += (FILE_WATCH_QUIET_MS - 1) * NS_PER_MS;
    loop_turn(&loop, 0);
    assert_int_equal(words, 0);
    put("a", "3");
    expect_word(1);
    expect_word(0);
}

static void what_never_is_quiet_is_said_at_the_latest(void **state)
{
    (void)state;
    put("a", "1");
    watch_file("a");
    uint64_t begun_ns = loop.now_ns;
    while (!words && loop.now_ns < begun_ns + 1000 * NS_PER_MS) {
        put("a", "2");
        loop_turn(&loop, 0);
        loop.now_ns += 10 * NS_PER_MS;
    }
    assert_in_range((loop.now_ns - begun_ns) / NS_PER_MS, FILE_WATCH_LATEST_MS, FILE_WATCH_LATEST_MS + 30);
}

static void other_names_in_the_folder_are_nothing(void **state)
{
    (void)state;
    char path[128];
    put("a", "1");
    snprintf(path, sizeof(path), "%s/a", folder);
    watch_file(path);
    put("b", "1");
    assert_int_equal(rename("b", "c"), 0);
    expect_word(0);
    assert_int_equal(rename("c", "a"), 0);
    expect_word(1);
}

static void a_link_anywhere_on_the_way_counts(void **state)
{
    (void)state;
    assert_int_equal(mkdir("one", 0700) | mkdir("two", 0700) | mkdir("live", 0700), 0);
    put("one/a", "1");
    put("two/a", "2");
    assert_int_equal(symlink("one", "now"), 0);
    assert_int_equal(symlink("../now/a", "live/a"), 0);
    watch_file("live/a");
    put("two/a", "3"); /* the same name, where nothing leads to */
    expect_word(0);
    put("one/a", "4");
    expect_word(1);
    assert_int_equal(symlink("two", "next") | rename("next", "now"), 0);
    expect_word(1);
    assert_int_equal(unlink("live/a"), 0);
    expect_word(1);
}

static void what_is_not_there_is_waited_for(void **state)
{
    (void)state;
    watch_file("x/y/a");
    assert_int_equal(mkdir("x", 0700), 0);
    expect_word(1);
}

static void links_in_a_circle_end(void **state)
{
    (void)state;
    assert_int_equal(symlink("b", "a") | symlink("a", "b"), 0);
    watch_file("a");
    assert_int_equal(unlink("b"), 0);
    expect_word(1);
}

static void what_is_watched_no_more_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(mkdir("x", 0700) | mkdir("y", 0700), 0);
    put("x/a", "1");
    put("y/a", "1");
    watch_file("x/a");
    watch_file("y/a");
    put("x/a", "2");
    expect_word(0);
    put("y/a", "2");
    expect_word(1);
}

static void a_folder_that_goes_is_said(void **state)
{
    (void)state;
    assert_int_equal(mkdir("x", 0700), 0);
    put("x/a", "1");
    watch_file("x/a");
    assert_int_equal(rename("x", "y"), 0);
    expect_word(1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_write_is_said_when_it_is_quiet_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_never_is_quiet_is_said_at_the_latest, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_names_in_the_folder_are_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_link_anywhere_on_the_way_counts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_waited_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(links_in_a_circle_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_watched_no_more_is_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_that_goes_is_said, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
