#include "control/config_files.h"

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

#include "conf/tree_merge.h"
#include "control/config.h"

/* The tests' folder is where they are run in. */
static char folder[] = "/tmp/weir-files-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return !mkdtemp(folder) || chdir(folder) < 0 || mkdir("conf.d", 0700) < 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", folder);
    return chdir("/") < 0 || system(command); /* NOLINT(cert-env33-c) */
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void remove_files(void)
{
    if (system("rm -f weir.yaml weir.json conf.d/*") != 0) fail(); /* NOLINT(cert-env33-c) */
}

#define WEB "listeners: {web: {bind: ':1', pool: web}}\n"

static char *text, *faults;
static size_t len;
static struct err err;

static void drop(void)
{
    config_text_free(text, len);
    free(faults);
    text = faults = NULL;
}

static void gather(const char *path)
{
    if (config_gather(path, &text, &len, &faults, &err) < 0) fail_msg("%s", faults ? faults : err.text);
}

static void a_file_alone_is_its_own_text(void **state)
{
    (void)state;
    const char *source = "# include: nothing\n" WEB;
    write_file("weir.yaml", source);
    gather("weir.yaml");
    assert_true(slice_equal((struct slice){ text, len }, slice_of(source)));
    drop();
    remove_files();
}

static void files_become_one_text_and_one_configuration(void **state)
{
    (void)state;
    struct config *c;
    write_file("weir.yaml", "include: [conf.d/*.yaml, conf.d/c.json]\n" WEB);
    write_file("conf.d/b.yaml", "pools: {web: {servers: ['10.0.0.1:80']}}\n# no line break at its end");
    write_file("conf.d/a.yaml", "");
    write_file("conf.d/c.json",
               "{\"include\": \"d/../d.part\", \"pools\": {\"api\": {\"servers\": [\"10.0.0.2:80\"]}}}");
    write_file("conf.d/d.part", "pools: {more: {servers: ['10.0.0.3:80']}}\n");
    assert_int_equal(mkdir("conf.d/d", 0700), 0);
    gather("weir.yaml");
    assert_int_equal(rmdir("conf.d/d"), 0);
    remove_files(); /* nothing is read a second time */
    if (config_parse(&c, "generation-1.yaml", (struct slice){ text, len }, &faults) < 0)
        fail_msg("%s", faults);
    assert_int_equal(c->proxy.pools.count, 3);
    assert_int_equal(c->include.count, 0);
    assert_null(memmem(c->shown.data, c->shown.len, "include", 7));
    config_free(c);
    drop();
}

static void mistakes_are_named_with_their_file(void **state)
{
    (void)state;
    struct config *c;
    write_file("weir.yaml", "include: conf.d/*\n" WEB);
    write_file("conf.d/a", "pools:\n  web: {servers: ['10.0.0.1:80'], balanse: random}\n");
    gather("weir.yaml");
    assert_int_equal(config_parse(&c, "weir.yaml", (struct slice){ text, len }, &faults), -1);
    assert_non_null(strstr(faults,
                           "conf.d/a:2:35: unknown key \"balanse\" in pool; did you mean \"balance\"?\n"
                           "    web: {servers: ['10.0.0.1:80'], balanse: random}\n"));
    drop();
    remove_files();
}

static void an_include_that_cannot_be_is_refused_with_its_place(void **state)
{
    static const struct {
        const char *first, *second, *fault;
    } cases[] = {
        { "include: none.yaml\n", "", "weir.yaml:1:10: cannot open none.yaml: No such file or directory\n" },
        { "include: nowhere/*.yaml\n", "",
          "weir.yaml:1:10: the folder of nowhere/*.yaml cannot be read: No such file" },
        { "include: conf.d\n", "", "weir.yaml:1:10: conf.d is no file\n" },
        { "include: weir.yaml\n", "", "weir.yaml:1:10: weir.yaml is where the configuration begins" },
        { "include: /dev/zero\n", "", "weir.yaml:1:10: /dev/zero is no file\n" },
        { "include: {a: b}\n", "",
          "weir.yaml:1:10: what is included is a file's name, or a pattern of names" },
        { "include: [[a]]\n", "",
          "weir.yaml:1:11: what is included is a file's name, or a pattern of names" },
        { "include: ['']\n", "", "weir.yaml:1:11: what is included is a file's name" },
        { "include: \"a\\0b\"\n", "", "weir.yaml:1:10: this is no file name" },
        { "include: [conf.d/a, conf.d/a]\n", "",
          "weir.yaml:1:21: conf.d/a is included a second time; the first is at weir.yaml:1" },
        { "include: conf.d/a\n", "include: ../weir.yaml\n",
          "conf.d/a:1:10: conf.d/../weir.yaml is where the configuration begins: it would include itself" },
        { "include: conf.d/a\n", "\ninclude: a\n", "conf.d/a:2:10: conf.d/a would include itself" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        write_file("weir.yaml", cases[i].first);
        write_file("conf.d/a", cases[i].second);
        assert_int_equal(config_gather("weir.yaml", &text, &len, &faults, &err), -1);
        assert_non_null(faults);
        if (strncmp(faults, cases[i].fault, strlen(cases[i].fault)) != 0) fail_msg("%zu: %s", i, faults);
        drop();
    }
    remove_files();
    (void)state;
}

static void who_never_writes_is_not_waited_for(void **state)
{
    (void)state;
    write_file("weir.yaml", "include: conf.d/*\n");
    assert_int_equal(mkfifo("conf.d/pipe", 0600), 0);
    assert_int_equal(config_gather("weir.yaml", &text, &len, &faults, &err), -1);
    assert_non_null(strstr(faults, "conf.d/pipe is no file"));
    drop();
    remove_files();
}

static void files_are_bounded_in_number_and_size(void **state)
{
    (void)state;
    char name[64];
    write_file("weir.yaml", "include: conf.d/*\n");
    for (uint32_t i = 0; i <= CONF_OTHERS_MAX; i++) {
        snprintf(name, sizeof(name), "conf.d/%03u", i);
        write_file(name, "# nothing\n");
    }
    assert_int_equal(config_gather("weir.yaml", &text, &len, &faults, &err), -1);
    assert_non_null(strstr(faults, "conf.d/256 is one file too many: there may be 256"));
    drop();
    assert_int_equal(unlink("conf.d/256"), 0);
    gather("weir.yaml");
    drop();
    for (uint32_t i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "conf.d/%03u", i);
        assert_int_equal(truncate(name, 1 << 20), 0);
    }
    assert_int_equal(config_gather("weir.yaml", &text, &len, &faults, &err), -1);
    assert_null(faults);
    assert_non_null(strstr(err.text, "the files come to more than 4 MiB"));
    drop();
    remove_files();
}

static void a_text_that_is_sent_includes_nothing(void **state)
{
    (void)state;
    struct config *c = NULL;
    const char *source = WEB "pools: {web: {servers: ['10.0.0.1:80']}}\ninclude: /etc/passwd\n";
    assert_int_equal(config_parse(&c, "request", slice_of(source), &faults), -1);
    assert_null(c);
    assert_non_null(strstr(faults, "request:3:1: what is sent cannot include files; "));
    drop();
}

#define FIRST "# weir: a configuration of several files\n"

/* It comes from outside as well. */
static void a_text_of_several_files_that_is_not_whole_is_refused(void **state)
{
    static const char *const cases[] = {
        FIRST,
        FIRST "# file: 5 a\n123",
        FIRST "# file: 5 a\n12345",
        FIRST "# file: 4 a\n12345\n",
        FIRST "# file: 18446744073709551615 a\n12345\n",
        FIRST "# file: 18446744073709551614 a\n12345\n",
        FIRST "# file: -1 a\n12345\n",
        FIRST "# file: 5 \n12345\n",
        FIRST "# file: 5a\n12345\n",
        FIRST "# file: a\n12345\n",
        FIRST "# file: 0 a\n\n# file: 3 b\nab\n",
        FIRST "# file: 0 a\n\nrest",
        FIRST "# file: 0 a",
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct config *c = NULL;
        /* Of exactly its size, so that a byte too far is seen. */
        size_t size = strlen(cases[i]);
        char *copy = malloc(size);
        assert_non_null(copy);
        memcpy(copy, cases[i], size);
        assert_int_equal(config_parse(&c, "request", (struct slice){ copy, size }, &faults), -1);
        free(copy);
        if (!strstr(faults, "this configuration of several files is not whole"))
            fail_msg("%zu: %s", i, faults);
        drop();
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_alone_is_its_own_text),
        cmocka_unit_test(files_become_one_text_and_one_configuration),
        cmocka_unit_test(mistakes_are_named_with_their_file),
        cmocka_unit_test(an_include_that_cannot_be_is_refused_with_its_place),
        cmocka_unit_test(who_never_writes_is_not_waited_for),
        cmocka_unit_test(files_are_bounded_in_number_and_size),
        cmocka_unit_test(a_text_that_is_sent_includes_nothing),
        cmocka_unit_test(a_text_of_several_files_that_is_not_whole_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
