#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/printable.h"

static void what_steers_a_terminal_is_shown(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown, *masked;
    } cases[] = {
        { "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa6", "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa6",
          "plain \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\xa6" },
        { "\x1b]0;x\x07", "\\x1b]0;x\\x07", "?]0;x?" },
        { "a\nb\tc\x7f", "a\\x0ab\\x09c\\x7f", "a?b?c?" },
        { "\xc2\x9b"
          "31m",
          "\\xc2\\x9b31m", "??31m" },
        { "\x9b"
          "31m",
          "\\x9b31m", "?31m" },
        { "\xe2\x82", "\\xe2\\x82", "??" },
        { "\xe2\x82\x1b", "\\xe2\\x82\\x1b", "???" },
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char memory[128], masked[128];
        struct text t = text_over(memory, sizeof(memory));
        printable_add(&t, slice_of(cases[i].text));
        assert_string_equal(text_cstr(&t), cases[i].shown);
        strcpy(masked, cases[i].text);
        printable_mask(masked);
        assert_string_equal(masked, cases[i].masked);
    }
}

/* Everything through a stream, flushed after every `cut` bytes. */
static void print_in_pieces(FILE *out, const char *text, size_t cut)
{
    size_t len = strlen(text);
    for (size_t at = 0; at < len; at += cut) {
        fwrite(text + at, 1, len - at < cut ? len - at : cut, out);
        fflush(out);
    }
}

static void streams_show_it_wherever_they_are_flushed(void **state)
{
    (void)state;
    static const char text[] =
        "\xc3\xa4\xe2\x82\xac\t\xf0\x9f\x90\xa6\x1b[31m\xc2\x9b\xe2\x82\x1b\xf0\x9f\n.\n";
    static const char shown[] =
        "\xc3\xa4\xe2\x82\xac\t\xf0\x9f\x90\xa6\\x1b[31m\\xc2\\x9b\\xe2\\x82\\x1b\\xf0\\x9f\n.\n";
    int pipes[2];
    char read_back[sizeof(shown)];
    fflush(stdout);
    int kept = dup(1);
    assert_true(kept >= 0 && pipe(pipes) == 0 && dup2(pipes[1], 1) == 1);
    FILE *standard = stdout, *errors = stderr;
    printable_streams();
    FILE *through = stdout;
    for (size_t cut = 1; cut <= sizeof(text); cut++) {
        print_in_pieces(through, text, cut);
        ssize_t n = read(pipes[0], read_back, sizeof(read_back));
        if (n != sizeof(shown) - 1 || memcmp(read_back, shown, sizeof(shown) - 1) != 0) break;
        read_back[0] = 0;
        if (cut == sizeof(text)) read_back[0] = 'y';
    }
    fclose(through);
    fclose(stderr);
    stdout = standard;
    stderr = errors;
    dup2(kept, 1);
    close(kept);
    close(pipes[0]);
    close(pipes[1]);
    assert_int_equal(read_back[0], 'y');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_steers_a_terminal_is_shown),
        cmocka_unit_test(streams_show_it_wherever_they_are_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
