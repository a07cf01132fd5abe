#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stack/code_map.h"

static struct code_map *parsed(const char *text)
{
    struct code_map *c = NULL;
    struct err err;
    assert_int_equal(code_map_parse(&c, strdup(text), strlen(text), &err), 0);
    return c;
}

static void assert_named(const struct code_map *c, uint64_t address, const char *name)
{
    struct slice found = code_map_find(c, address);
    assert_int_equal(found.len, strlen(name));
    if (found.len) assert_memory_equal(found.data, name, found.len);
}

static void an_address_has_the_name_of_its_line(void **state)
{
    (void)state;
    struct code_map *c = parsed("2000 10 second one\n1000 20 LazyCompile:*fib /a b.js:1\n");
    assert_named(c, 0xfff, "");
    assert_named(c, 0x1000, "LazyCompile:*fib /a b.js:1");
    assert_named(c, 0x101f, "LazyCompile:*fib /a b.js:1");
    assert_named(c, 0x1020, "");
    assert_named(c, 0x2000, "second one");
    assert_named(c, 0x2010, "");
    code_map_free(c);
}

static void what_came_later_lies_over_what_was_there(void **state)
{
    (void)state;
    static const struct {
        const char *text, *names; /* names: of 0x10, 0x11, ... one letter each; '-' is none */
    } cases[] = {
        { "10 4 a\n10 4 b\n", "bbbb--" },         { "10 4 a\n12 4 b\n", "aabbbb" },
        { "12 4 a\n10 4 b\n", "bbbbaa" },         { "10 6 a\n12 2 b\n", "aabb--" },
        { "12 2 a\n10 6 b\n", "bbbbbb" },         { "10 2 a\n12 2 b\n11 2 c\n", "accb--" },
        { "11 1 a\n10 6 b\n12 1 c\n", "bbc---" }, { "10 2 a\n11 4 b\n10 1 c\n", "cbbbb-" },
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct code_map *c = parsed(cases[i].text);
        for (unsigned at = 0; at < 6; at++) {
            char name[2] = { cases[i].names[at], 0 };
            assert_named(c, 0x10 + at, *name == '-' ? "" : name);
        }
        code_map_free(c);
    }
}

static void lines_that_are_none_are_passed_over(void **state)
{
    (void)state;
    struct code_map *c = parsed("\nx\n10\n10 4\n10 4 \n10 0 zero\nffffffffffffffff 2 over\n"
                                "10000000000000000 1 long\n20 1 a\033[31mb\n30 4 not ended");
    assert_named(c, 0x10, "");
    assert_named(c, 0x20, "a?[31mb");
    assert_named(c, 0x30, "");
    assert_named(c, UINT64_MAX, "");
    code_map_free(c);
    code_map_free(parsed(""));
}

/* Whose file it is, is asked of a process that has a root of its own: the directory that the test makes. */
struct place {
    char root[64], tmp[80], path[128];
    struct modules modules;
};

static void place_make(struct place *p)
{
    memset(p, 0, sizeof(*p));
    snprintf(p->root, sizeof(p->root), "/tmp/weir-code-map-XXXXXX");
    assert_non_null(mkdtemp(p->root));
    snprintf(p->tmp, sizeof(p->tmp), "%s/tmp", p->root);
    assert_int_equal(mkdir(p->tmp, 0700), 0);
    snprintf(p->path, sizeof(p->path), "%s/perf-7.map", p->tmp);
    p->modules.pid = 4242;
    p->modules.ns_pid = 7;
    p->modules.uid = getuid();
    p->modules.root = open(p->root, O_PATH | O_DIRECTORY);
    assert_true(p->modules.root >= 0);
}

static void place_remove(struct place *p)
{
    close(p->modules.root);
    unlink(p->path);
    rmdir(p->tmp);
    rmdir(p->root);
}

static void put(const char *path)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("10 4 name\n", f);
    assert_int_equal(fclose(f), 0);
}

static void a_map_is_read_by_the_number_that_the_process_sees_itself(void **state)
{
    (void)state;
    struct place p;
    struct code_map *c = NULL;
    struct err err;
    place_make(&p);
    put(p.path);
    assert_int_equal(code_map_read(&c, &p.modules, &err), 0);
    assert_named(c, 0x11, "name");
    code_map_free(c);
    place_remove(&p);
}

static void what_others_may_have_put_there_is_not_taken(void **state)
{
    (void)state;
    struct place p;
    struct code_map *c = NULL;
    struct err err;
    char other[160], text[256];
    place_make(&p);
    assert_int_equal(code_map_read(&c, &p.modules, &err), -1); /* none */
    /* A link, even to a file that would be taken. */
    snprintf(other, sizeof(other), "%s/other", p.root);
    put(other);
    snprintf(text, sizeof(text), "/other");
    assert_int_equal(symlink(text, p.path), 0);
    assert_int_equal(code_map_read(&c, &p.modules, &err), -1);
    assert_int_equal(unlink(p.path), 0);
    /* A second name of a file. */
    assert_int_equal(link(other, p.path), 0);
    assert_int_equal(code_map_read(&c, &p.modules, &err), -1);
    assert_non_null(strstr(err.text, "is not taken"));
    assert_int_equal(unlink(p.path), 0);
    assert_int_equal(unlink(other), 0);
    /* A pipe, which is not waited for. */
    assert_int_equal(mkfifo(p.path, 0600), 0);
    assert_int_equal(code_map_read(&c, &p.modules, &err), -1);
    assert_non_null(strstr(err.text, "no regular file"));
    assert_int_equal(unlink(p.path), 0);
    /* A file of another user than the process's, unless it is root's. */
    put(p.path);
    bool is_roots = getuid() == 0;
    if (is_roots) assert_int_equal(chown(p.path, 4001, 4001), 0);
    p.modules.uid = 4002;
    assert_int_equal(code_map_read(&c, &p.modules, &err), -1);
    p.modules.uid = is_roots ? 4001 : getuid();
    assert_int_equal(code_map_read(&c, &p.modules, &err), 0);
    code_map_free(c);
    place_remove(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_has_the_name_of_its_line),
        cmocka_unit_test(what_came_later_lies_over_what_was_there),
        cmocka_unit_test(lines_that_are_none_are_passed_over),
        cmocka_unit_test(a_map_is_read_by_the_number_that_the_process_sees_itself),
        cmocka_unit_test(what_others_may_have_put_there_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
