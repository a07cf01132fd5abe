#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files/file_find.h"

static char root[] = "/tmp/weir-files-XXXXXX";
static const char *const index_names[] = { "no.html", "index.html" };

static void write_file(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int set_up(void **state)
{
    (void)state;
    char path[256];
    if (!mkdtemp(root)) return -1;
    snprintf(path, sizeof(path), "%s/sub", root);
    if (mkdir(path, 0700) < 0) return -1;
    write_file("a.txt", "a");
    write_file("a.txt.gz", "packed");
    write_file("sub/index.html", "index");
    snprintf(path, sizeof(path), "%s/out", root);
    return symlink("/etc/passwd", path);
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const names[] = { "a.txt", "a.txt.gz", "sub/index.html", "out" };
    char path[256];
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        snprintf(path, sizeof(path), "%s/%s", root, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/sub", root);
    rmdir(path);
    return rmdir(root);
}

static struct file_plan plan_of(const char *name)
{
    return (struct file_plan){ .root = root, .name = name, .index = index_names, .index_count = 2 };
}

static enum file_result find(const struct file_plan *plan, uint64_t *size)
{
    struct file_found found;
    file_find(plan, true, &found);
    *size = found.size;
    assert_int_equal(found.fd >= 0, found.result == FILE_FOUND);
    if (found.fd >= 0) close(found.fd);
    return (enum file_result)found.result;
}

static void what_is_there_is_found(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum file_result result;
        uint64_t size;
    } cases[] = {
        { "a.txt", FILE_FOUND, 1 },
        { "sub/", FILE_FOUND, 5 },
        { "sub", FILE_NEEDS_SLASH, 0 },
        { "", FILE_NONE, 0 },
        { "none", FILE_NONE, 0 },
        { "a.txt/", FILE_NONE, 0 },
        { "out", FILE_LEADS_OUT, 0 },
        { "sub/../a.txt", FILE_FOUND, 1 },
        { "../etc/passwd", FILE_LEADS_OUT, 0 },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct file_plan plan = plan_of(cases[i].name);
        uint64_t size = 0;
        if (find(&plan, &size) != cases[i].result) fail_msg("\"%s\"", cases[i].name);
        if (cases[i].result == FILE_FOUND) assert_int_equal(size, cases[i].size);
    }
}

static void a_fallback_stands_for_what_is_not_there_alone(void **state)
{
    (void)state;
    struct file_plan plan = plan_of("none/x");
    uint64_t size;
    plan.fallback = "sub/index.html";
    assert_int_equal(find(&plan, &size), FILE_FOUND);
    assert_int_equal(size, 5);
    plan.name = "out";
    assert_int_equal(find(&plan, &size), FILE_LEADS_OUT);
    plan.fallback = "sub"; /* it is not the client who is to ask for it with a slash */
    plan.name = "none";
    assert_int_equal(find(&plan, &size), FILE_NONE);
    plan.fallback = "none";
    assert_int_equal(find(&plan, &size), FILE_NONE);
}

static void a_sibling_goes_in_its_place(void **state)
{
    (void)state;
    struct file_found found;
    struct file_plan plan = plan_of("a.txt");
    plan.codings[0] = CODING_BR;
    plan.codings[1] = CODING_GZIP;
    plan.coding_count = 2;
    file_find(&plan, true, &found);
    assert_int_equal(found.coding, CODING_GZIP);
    assert_int_equal(found.size, 6);
    assert_string_equal(found.says_type, "a.txt");
    close(found.fd);
}

/* What was just looked at is in the kernel's cache, so that nobody need wait; what was never looked at is not known. */
static void without_waiting_it_says_what_is_known(void **state)
{
    (void)state;
    struct file_plan plan = plan_of("a.txt");
    struct file_found found;
    uint64_t size;
    assert_int_equal(find(&plan, &size), FILE_FOUND);
    file_find(&plan, false, &found);
    assert_true(found.result == FILE_FOUND || found.result == FILE_NOT_KNOWN); /* the cache is the kernel's */
    if (found.fd >= 0) close(found.fd);
    plan.name = "never-looked-at";
    file_find(&plan, false, &found);
    assert_true(found.result == FILE_NONE || found.result == FILE_NOT_KNOWN);
    assert_int_equal(found.fd, -1);
}

static void a_root_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct file_plan plan = plan_of("a.txt");
    uint64_t size;
    plan.root = "/tmp/weir-files-none";
    assert_int_equal(find(&plan, &size), FILE_NO_ROOT);
    plan.root = "/etc/passwd";
    assert_int_equal(find(&plan, &size), FILE_NO_ROOT);
}

static void each_state_has_its_tag(void **state)
{
    (void)state;
    struct file_plan plan = plan_of("sub/");
    struct file_found before, after;
    file_find(&plan, true, &before);
    file_find(&plan, true, &after);
    assert_true(before.tag == after.tag);
    close(before.fd);
    close(after.fd);
    write_file("sub/index.html", "index longer");
    file_find(&plan, true, &after);
    assert_false(before.tag == after.tag);
    close(after.fd);
    write_file("sub/index.html", "index");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_found),
        cmocka_unit_test(a_fallback_stands_for_what_is_not_there_alone),
        cmocka_unit_test(a_sibling_goes_in_its_place),
        cmocka_unit_test(without_waiting_it_says_what_is_known),
        cmocka_unit_test(a_root_that_is_not_there_is_told),
        cmocka_unit_test(each_state_has_its_tag),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
