#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/memory_view.h"

/* Two pages, of which the second cannot be read. */
static char *page_before_a_hole(void)
{
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    assert_int_equal(mprotect(p + 4096, 4096, PROT_NONE), 0);
    return p;
}

static void check_view(const struct memory_view *m)
{
    char *p = page_before_a_hole(), out[64];
    memset(p + 4088, '7', 8);
    assert_true(memory_read(m, (uintptr_t)p + 4088, out, 8));
    assert_memory_equal(out, "77777777", 8);
    assert_false(memory_read(m, (uintptr_t)p + 4088, out, 9));
    assert_false(memory_read(m, (uintptr_t)p + 4096, out, 1));
    assert_false(memory_read(m, 0, out, 1));
    assert_false(memory_read(m, UINT64_MAX - 3, out, 8));
    munmap(p, 8192);
}

static void what_can_be_read_is_read_and_the_rest_is_not(void **state)
{
    (void)state;
    const int32_t pid = getpid();
    const struct memory_view own = memory_of_self(), process = memory_of_process(&pid);
    check_view(&own);
    check_view(&process);
}

static void text_may_end_right_before_a_hole(void **state)
{
    (void)state;
    const struct memory_view m = memory_of_self();
    char *p = page_before_a_hole(), out[64];
    memcpy(p + 4092, "abc", 4);
    assert_true(memory_read_text(&m, (uintptr_t)p + 4092, out, sizeof(out)));
    assert_string_equal(out, "abc");
    p[4095] = 'd';
    assert_false(memory_read_text(&m, (uintptr_t)p + 4092, out, sizeof(out)));
    assert_string_equal(out, "?");
    munmap(p, 8192);
}

static void text_is_cut_to_fit_and_made_printable(void **state)
{
    (void)state;
    const struct memory_view m = memory_of_self();
    static const char text[64] = "a\x1b[31mb\xff and more";
    char out[10];
    assert_true(memory_read_text(&m, (uintptr_t)text, out, sizeof(out)));
    assert_string_equal(out, "a?[31mb? ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_read_is_read_and_the_rest_is_not),
        cmocka_unit_test(text_may_end_right_before_a_hole),
        cmocka_unit_test(text_is_cut_to_fit_and_made_printable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
