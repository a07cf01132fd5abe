#include "conf/secret_file.h"

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

static char path[] = "/tmp/weir-secret-XXXXXX";

static void write_file(const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0 && write(fd, bytes, len) == (ssize_t)len);
    close(fd);
}

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd >= 0) close(fd);
    return fd < 0;
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

static void a_file_has_the_secret_without_its_last_line_break(void **state)
{
    static const struct {
        const char *bytes, *secret;
    } cases[] = { { "abc", "abc" },
                  { "abc\n", "abc" },
                  { "abc\r\n", "abc" },
                  { "abc\n\n", "abc\n" },
                  { " a b ", " a b " } };
    char text[64];
    snprintf(text, sizeof(text), "file:%s", path);
    assert_true(secret_file_is_named(slice_of(text)));
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct conf_arena *arena = conf_arena_new();
        struct err err;
        write_file(cases[i].bytes, strlen(cases[i].bytes));
        const char *secret = secret_file_read(slice_of(text), arena, &err);
        assert_non_null(secret);
        assert_string_equal(secret, cases[i].secret);
        conf_arena_free(arena);
    }
    (void)state;
}

static void expect(const char *text, const char *sentence)
{
    struct conf_arena *arena = conf_arena_new();
    struct err err;
    assert_null(secret_file_read(slice_of(text), arena, &err));
    if (!strstr(err.text, sentence)) fail_msg("%s: %s", text, err.text);
    conf_arena_free(arena);
}

static void what_is_no_secret_is_refused(void **state)
{
    (void)state;
    char text[64], large[(64 << 10) + 1];
    snprintf(text, sizeof(text), "file:%s", path);
    write_file("", 0);
    expect(text, "is empty");
    write_file("\n", 1);
    expect(text, "is empty");
    write_file("a\0b", 3);
    expect(text, "has a zero byte");
    memset(large, 'x', sizeof(large));
    write_file(large, sizeof(large));
    expect(text, "has more than 64 KiB");
    expect("file:/nowhere/at/all", "cannot open /nowhere/at/all: No such file");
    expect("file:/tmp", "is no file");
    expect("file:/dev/zero", "is no file");
    expect("file:relative", "does not name a file from the root on");
    expect("file:", "does not name a file from the root on");
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody waits for who never writes */
    expect(text, "is no file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_has_the_secret_without_its_last_line_break),
        cmocka_unit_test(what_is_no_secret_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
