#include "control/generations.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/config.h"

static char folder[] = "/tmp/weir-generations-XXXXXX";
static struct generations *kept;

static void open_it(void)
{
    struct err err;
    if (generations_open(&kept, folder, -1, &err) < 0) fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    assert_non_null(mkdtemp(folder));
    open_it();
    return 0;
}

static void remove_at(int dir, uint32_t number)
{
    char name[GENERATION_NAME_MAX];
    const struct generation *g = generations_find(kept, number);
    if (!g) return;
    generation_name(g, name);
    assert_int_equal(unlinkat(dir, name, 0), 0);
}

static int tear_down(void **state)
{
    (void)state;
    while (kept->count) {
        uint32_t number = kept->items[0].number;
        remove_at(kept->folder, number);
        generations_remove(kept, number);
    }
    generations_close(kept);
    assert_int_equal(rmdir(folder), 0); /* nothing else is left in it */
    return 0;
}

static void keep(uint32_t number, const char *text)
{
    struct err err;
    char staged[GENERATION_STAGED_MAX];
    struct generation gone, g = { .number = number,
                                  .origin = GENERATION_API,
                                  .at_s = 1700000000 + number,
                                  .text_hash = generation_hash(slice_of(text)),
                                  .file_hash = 7 };
    assert_int_equal(generation_stage(kept->folder, slice_of(text), staged, &err), 0);
    bool has_gone = generations_add(kept, &g, &gone);
    assert_int_equal(generation_publish(kept->folder, staged, &g, has_gone ? &gone : NULL, &err), 0);
}

static void expect_text(uint32_t number, const char *wanted)
{
    struct err err;
    char *text;
    size_t len;
    const struct generation *g = generations_find(kept, number);
    assert_non_null(g);
    if (generation_read(kept->folder, g, &text, &len, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(len, strlen(wanted));
    assert_memory_equal(text, wanted, len);
    config_text_free(text, len);
}

static void open_again(void)
{
    generations_close(kept);
    open_it();
}

static void what_is_kept_is_found_again_byte_for_byte(void **state)
{
    (void)state;
    keep(1, "a: 1\r\n# \xc3\xa9\n");
    keep(2, "");
    keep(10, "b: 2");
    open_again();
    assert_int_equal(kept->count, 3);
    expect_text(1, "a: 1\r\n# \xc3\xa9\n");
    expect_text(2, "");
    expect_text(10, "b: 2");
    assert_int_equal(generations_latest(kept)->number, 10);
    assert_int_equal(generations_latest(kept)->at_s, 1700000010);
    assert_int_equal(generations_latest(kept)->file_hash, 7);
    assert_null(generations_find(kept, 3));
}

static void only_its_user_may_read_it(void **state)
{
    (void)state;
    char name[GENERATION_NAME_MAX];
    struct stat st;
    keep(1, "token: x");
    generation_name(generations_latest(kept), name);
    assert_int_equal(fstatat(kept->folder, name, &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void the_same_text_again_is_another_number_and_no_other_file(void **state)
{
    (void)state;
    keep(1, "a");
    keep(2, "b");
    keep(3, "b");
    open_again();
    assert_int_equal(kept->count, 2);
    assert_null(generations_find(kept, 2));
    expect_text(3, "b");
}

static void of_too_many_the_oldest_goes(void **state)
{
    (void)state;
    char text[16];
    for (uint32_t i = 1; i <= GENERATIONS_MAX + 3; i++) {
        snprintf(text, sizeof(text), "%u", i);
        keep(i, text);
    }
    open_again();
    assert_int_equal(kept->count, GENERATIONS_MAX);
    assert_int_equal(kept->items[0].number, 4);
    expect_text(GENERATIONS_MAX + 3, "53");
}

static void what_was_begun_by_a_process_that_died_is_removed(void **state)
{
    (void)state;
    struct err err;
    char staged[GENERATION_STAGED_MAX];
    assert_int_equal(generation_stage(kept->folder, SLICE("half"), staged, &err), 0);
    open_again();
    assert_int_equal(faccessat(kept->folder, staged, F_OK, 0), -1);
    assert_int_equal(kept->count, 0);
}

static void a_damaged_file_is_not_used(void **state)
{
    (void)state;
    char name[GENERATION_NAME_MAX], *text;
    size_t len;
    struct err err;
    keep(1, "whole");
    generation_name(generations_latest(kept), name);
    int fd = openat(kept->folder, name, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, "whol", 4), 4);
    close(fd);
    assert_int_equal(generation_read(kept->folder, generations_latest(kept), &text, &len, &err), -1);
    assert_non_null(strstr(err.text, "damaged"));
}

static void a_folder_has_one_user(void **state)
{
    (void)state;
    struct generations *other = NULL;
    struct err err;
    assert_int_equal(generations_open(&other, folder, -1, &err), -1);
    assert_non_null(strstr(err.text, "another weir"));
    assert_int_equal(chmod(folder, 0777), 0);
    assert_int_equal(generations_open(&other, folder, -1, &err), -1);
    assert_non_null(strstr(err.text, "anybody"));
    assert_int_equal(chmod(folder, 0700), 0);
}

static void other_names_are_let_be(void **state)
{
    (void)state;
    static const char *const others[] = {
        "",
        "1",
        "0-20231114T221321Z-api-0000000000000001-0000000000000001.yaml",
        "01-20231114T221321Z-api-0000000000000001-0000000000000001.yaml",
        "1-20231399T221321Z-api-0000000000000001-0000000000000001.yaml",
        "1-20231114T221321Z-app-0000000000000001-0000000000000001.yaml",
        "1-20231114T221321Z-api-000000000000000A-0000000000000001.yaml",
        "1-20231114T221321Z-api-0000000000000001-0000000000000001.yaml~",
        "1-20231114T221321Z-api-0000000000000001-0000000000000001.txt",
        "9999999999-20231114T221321Z-api-0000000000000001-0000000000000001.yaml",
    };
    struct generation g;
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        assert_false(generation_parse(others[i], &g));
    assert_true(generation_parse("1-20231114T221321Z-rollback-0000000000000001-0000000000000000.json", &g));
    assert_true(g.is_json && g.origin == GENERATION_ROLLBACK && g.at_s == 1700000001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_kept_is_found_again_byte_for_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_its_user_may_read_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_same_text_again_is_another_number_and_no_other_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(of_too_many_the_oldest_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_begun_by_a_process_that_died_is_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_not_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_folder_has_one_user, set_up, tear_down),
        cmocka_unit_test(other_names_are_let_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
