#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "logs/time_search.h"

#define LINES 20000u
#define FIRST_S UINT64_C(1773309600)

static uint64_t starts[LINES + 1];

/* A line a second, of different lengths; every seventh is none. */
static int make_file(void)
{
    char path[] = "/tmp/weir-time-search-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    FILE *f = fdopen(dup(fd), "w");
    for (uint32_t i = 0; i < LINES; i++) {
        uint64_t s = i % 86400;
        starts[i] = (uint64_t)ftell(f);
        if (i % 7 == 3)
            fprintf(f, "rubbish\n");
        else
            fprintf(f,
                    "::1 - - [12/Mar/2026:%02u:%02u:%02u +0000] \"GET /%0*u HTTP/1.1\" 200 1 \"-\" \"-\"\n",
                    (unsigned)(10 + s / 3600), (unsigned)(s / 60 % 60), (unsigned)(s % 60),
                    (int)(1 + i % 200), i);
    }
    starts[LINES] = (uint64_t)ftell(f);
    fclose(f);
    return fd;
}

static void the_search_ends_before_the_moment_and_not_long_before(void **state)
{
    (void)state;
    struct line_format f;
    struct err err;
    int fd = make_file();
    assert_int_equal(line_format_compile(&f, slice_of(line_format_combined), LINE_ESCAPE_DEFAULT, &err), 0);
    for (uint32_t i = 0; i < LINES; i += 613) {
        uint64_t offset = 0;
        assert_int_equal(time_search(fd, starts[LINES], &f, FIRST_S + i, &offset, &err), 0);
        assert_true(offset <= starts[i]);
        assert_true(offset + (128u << 10) > starts[i]);
        uint32_t line = 0;
        while (line < LINES && starts[line] < offset) line++;
        assert_int_equal(starts[line], offset); /* at the beginning of a line */
    }
    close(fd);
}

static void before_the_first_and_after_the_last_there_is_an_answer_too(void **state)
{
    (void)state;
    struct line_format f;
    struct err err;
    uint64_t offset = 1;
    int fd = make_file();
    assert_int_equal(line_format_compile(&f, slice_of(line_format_combined), LINE_ESCAPE_DEFAULT, &err), 0);
    assert_int_equal(time_search(fd, starts[LINES], &f, 1, &offset, &err), 0);
    assert_int_equal(offset, 0);
    assert_int_equal(time_search(fd, starts[LINES], &f, FIRST_S + 10 * LINES, &offset, &err), 0);
    assert_true(offset + (128u << 10) > starts[LINES]);
    assert_int_equal(time_search(fd, 0, &f, FIRST_S, &offset, &err), 0);
    assert_int_equal(offset, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_search_ends_before_the_moment_and_not_long_before),
        cmocka_unit_test(before_the_first_and_after_the_last_there_is_an_answer_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
