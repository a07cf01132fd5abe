#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <string.h>
#include <cmocka.h>

#include "stack/stack.h"

#define BASE UINT64_C(0x10000)
#define WORDS 64

/* A stack of words at BASE. */
static bool read_words(const void *context, uint64_t address, void *out, size_t len)
{
    if (address < BASE || address - BASE > WORDS * 8 || len > WORDS * 8 - (address - BASE)) return false;
    memcpy(out, (const char *)context + (address - BASE), len);
    return true;
}

static uint32_t walk(const uint64_t words[WORDS], uint64_t fp, uint64_t *pcs, uint32_t max)
{
    struct user_regs_struct r = { 0 };
    const struct memory_view memory = { read_words, words };
#if defined(__x86_64__)
    r.rip = 0x1111;
    r.rsp = BASE;
    r.rbp = fp;
#elif defined(__aarch64__)
    r.pc = 0x1111;
    r.sp = BASE;
    r.regs[29] = fp;
#endif
    return stack_by_frame_pointers(&r, &memory, pcs, max);
}

static void frames_lead_to_the_outermost(void **state)
{
    (void)state;
    uint64_t words[WORDS] = {
        [4] = BASE + 80, [5] = 0x2222, [10] = BASE + 240, [11] = 0x3333, [30] = 0, [31] = 0x4444
    };
    uint64_t pcs[8];
    assert_int_equal(walk(words, BASE + 32, pcs, 8), 4);
    assert_int_equal(pcs[0], 0x1111);
    assert_int_equal(pcs[1], 0x2222);
    assert_int_equal(pcs[2], 0x3333);
    assert_int_equal(pcs[3], 0x4444);
    assert_int_equal(walk(words, BASE + 32, pcs, 2), 2);
    assert_int_equal(walk(words, BASE + 32, pcs, 0), 0);
}

static void a_chain_that_leads_back_ends(void **state)
{
    (void)state;
    uint64_t words[WORDS] = { [4] = BASE + 80, [5] = 0x2222, [10] = BASE + 32, [11] = 0x3333 };
    uint64_t pcs[8];
    assert_int_equal(walk(words, BASE + 32, pcs, 8), 3);
}

static void a_chain_that_leads_to_itself_ends(void **state)
{
    (void)state;
    uint64_t words[WORDS] = { [4] = BASE + 32, [5] = 0x2222 };
    uint64_t pcs[8];
    assert_int_equal(walk(words, BASE + 32, pcs, 8), 2);
}

static void what_cannot_be_a_frame_is_none(void **state)
{
    (void)state;
    uint64_t words[WORDS] = { 0 }, pcs[8];
    static const uint64_t places[] = { 0, 1, BASE + 3, BASE - 8, BASE + WORDS * 8, UINT64_MAX - 7 };
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        assert_int_equal(walk(words, places[i], pcs, 8), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_lead_to_the_outermost),
        cmocka_unit_test(a_chain_that_leads_back_ends),
        cmocka_unit_test(a_chain_that_leads_to_itself_ends),
        cmocka_unit_test(what_cannot_be_a_frame_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
