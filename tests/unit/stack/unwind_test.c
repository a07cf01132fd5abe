#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>
#include <unistd.h>

#include "stack/symbolizer.h"
#include "stack/unwind.h"
#include "stack/unwind_table.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#else
#define IS_SANITIZED 0
#endif

static struct modules *modules;
static struct unwind_space *space;
static struct symbolizer *symbolizer;

static uint64_t pcs[UNWIND_DEPTH_MAX];
static volatile uint32_t pc_count;

static bool read_own(void *context, uint64_t address, uint64_t *out)
{
    (void)context;
    memcpy(out, (const void *)(uintptr_t)address,
           sizeof(*out)); /* rules lead to the stack only, or the test fails */
    return true;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    const ucontext_t *u = context;
    struct unwind_registers r = { (uint64_t)u->uc_mcontext.gregs[REG_RIP],
                                  (uint64_t)u->uc_mcontext.gregs[REG_RSP],
                                  (uint64_t)u->uc_mcontext.gregs[REG_RBP], false };
    struct unwind_memory memory = { .read_word = read_own };
    pc_count = unwind_stack(space, &r, &memory, pcs, UNWIND_DEPTH_MAX);
}

/* The unwinder's own caller, from within a handler: over the kernel's frame. */
static void on_signal_by_hand(int number)
{
    (void)number;
    struct unwind_memory memory = { .read_word = read_own };
    struct unwind_registers r = { 0 };
    __asm__ volatile("lea 0(%%rip), %0\n\tmov %%rsp, %1\n\tmov %%rbp, %2"
                     : "=r"(r.ip), "=r"(r.sp), "=r"(r.bp));
    pc_count = unwind_stack(space, &r, &memory, pcs, UNWIND_DEPTH_MAX);
}

static int setup(void **state)
{
    (void)state;
    struct err err;
    if (modules_read(&modules, 0, &err) < 0 || unwind_space_new(&space, modules, &err) < 0 ||
        symbolizer_new(&symbolizer, modules, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    struct sigaction a = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO };
    sigaction(SIGUSR1, &a, NULL);
    signal(SIGUSR2, on_signal_by_hand);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    symbolizer_free(symbolizer);
    unwind_space_free(space);
    modules_free(modules);
    return 0;
}

static const char *name_of(uint32_t i)
{
    static char names[8][128];
    static unsigned turn;
    struct symbol s;
    char *out = names[turn++ % 8];
    symbolizer_find(symbolizer, pcs[i], i > 0, &s);
    snprintf(out, 128, "%.*s", SLICE_ARGS(s.name));
    return out;
}

/* Where the function of that name is in the stack; -1. */
static int place_of(const char *name)
{
    for (uint32_t i = 0; i < pc_count; i++)
        if (strcmp(name_of(i), name) == 0) return (int)i;
    return -1;
}

/* Three functions without frame pointers that the compiler keeps apart. */
#define KEPT __attribute__((noinline, noclone, optimize("omit-frame-pointer")))

static volatile uint64_t sink;

KEPT static void innermost(int number)
{
    volatile char room[200];
    room[0] = 1;
    raise(number);
    sink += (uint64_t)room[0];
}

KEPT static void middle(int number)
{
    innermost(number);
    sink++;
}

KEPT static void outermost(int number)
{
    volatile uint64_t room[40] = { 0 };
    middle(number);
    sink += room[0];
}

static void each_caller_is_found_without_frame_pointers(void **state)
{
    (void)state;
    outermost(SIGUSR1);
    int at = place_of("innermost");
    assert_true(at > 0);
    assert_string_equal(name_of((uint32_t)at + 1), "middle");
    assert_string_equal(name_of((uint32_t)at + 2), "outermost");
    assert_string_equal(name_of((uint32_t)at + 3), "each_caller_is_found_without_frame_pointers");
    assert_true(place_of("main") > at);
}

static void a_signals_frame_is_stepped_over(void **state)
{
    (void)state;
    outermost(SIGUSR2);
    int handler = place_of("on_signal_by_hand"), at = place_of("innermost");
    assert_int_equal(handler, 0);
    assert_true(at > handler);
    assert_string_equal(name_of((uint32_t)at + 1), "middle");
    assert_true(place_of("main") > at);
}

static void a_leafs_caller_is_found_within_the_c_library(void **state)
{
    (void)state;
    outermost(SIGUSR1);
    /* raise() and what it is made of come before. */
    int at = place_of("innermost");
    assert_true(at >= 1);
    struct symbol s;
    assert_true(symbolizer_find(symbolizer, pcs[0], false, &s));
    if (!IS_SANITIZED) assert_non_null(strstr(s.module.data, "libc"));
}

static void a_static_function_has_its_file_and_line(void **state)
{
    (void)state;
    struct symbol s;
    outermost(SIGUSR1);
    int at = place_of("middle");
    assert_true(at > 0);
    assert_true(symbolizer_find(symbolizer, pcs[at], true, &s));
    assert_non_null(s.file.data);
    assert_non_null(strstr(s.file.data, "unwind_test.c"));
    assert_in_range(s.line, 100, 160);
}

static void what_is_mapped_has_a_build_id_and_a_bias(void **state)
{
    (void)state;
    uint64_t here = (uint64_t)(uintptr_t)setup;
    const struct module *m = modules_find(modules, here);
    assert_non_null(m);
    assert_true(m->has_bias);
    assert_int_equal(strlen(m->build_id), 40);
    assert_null(modules_find(modules, 16));
    struct symbol s;
    assert_false(symbolizer_find(symbolizer, 16, false, &s));
}

/* The stack of a thread that is looked at from outside: its frame pointer is not known. What earlier calls have left in a
 * large frame looks like frames, too. */

#define APART __attribute__((noinline, noclone, no_sanitize("address", "thread", "undefined")))

APART static bool read_any(void *context, uint64_t address, uint64_t *out)
{
    (void)context;
    *out = *(const volatile uint64_t *)(uintptr_t)address;
    return true;
}

/* Two that do the same: one of them lies before the other in the text. They differ by their names, lest a compiler make one of
 * them. Each returns where it returns to. */
#define WAITS(name)                                                                     \
    APART static uint64_t waits_##name(uint64_t left_by)                                \
    {                                                                                   \
        volatile uint64_t room[64] = { 0 };                                             \
        struct unwind_memory memory = { .read_word = read_any };                        \
        struct unwind_registers r = { .has_no_bp = true };                              \
        room[10] = (uint64_t)(uintptr_t)&room[40];                                      \
        room[11] = left_by;                                                             \
        room[12] = (uint64_t)(uintptr_t) #name;                                         \
        __asm__ volatile("lea 0(%%rip), %0\n\tmov %%rsp, %1" : "=r"(r.ip), "=r"(r.sp)); \
        pc_count = unwind_stack(space, &r, &memory, pcs, UNWIND_DEPTH_MAX);             \
        return (uint64_t)(uintptr_t)__builtin_return_address(0) + room[0];              \
    }                                                                                   \
    APART static uint64_t asks_##name(uint64_t left_by)                                 \
    {                                                                                   \
        uint64_t returns_to = waits_##name(left_by);                                    \
        sink++;                                                                         \
        return returns_to;                                                              \
    }

WAITS(one)
WAITS(other)

static void what_other_calls_have_left_is_no_frame(void **state)
{
    (void)state;
    uint64_t one = asks_one(0), other = asks_other(0);
    asks_one(other);
    assert_string_equal(name_of(0), "waits_one");
    assert_string_equal(name_of(1), "asks_one");
    assert_string_equal(name_of(2), "what_other_calls_have_left_is_no_frame");
    asks_other(one);
    assert_string_equal(name_of(0), "waits_other");
    assert_string_equal(name_of(1), "asks_other");
    assert_string_equal(name_of(2), "what_other_calls_have_left_is_no_frame");
}

static void a_stack_that_cannot_be_read_ends_there(void **state)
{
    (void)state;
    struct unwind_registers r = { (uint64_t)(uintptr_t)outermost, 0x1001, 0x2003, false };
    struct unwind_memory memory = { .read_word = read_own };
    uint64_t found[4];
    assert_int_equal(unwind_stack(space, &r, &memory, found, 4), 1);
    r.ip = 0;
    assert_int_equal(unwind_stack(space, &r, &memory, found, 4), 1);
}

/* .eh_frame written by hand: a function that pushes rbp and makes it its frame pointer. */
static const uint8_t frames[] = {
    /* CIE: length 20, id 0, version 1, "zR", code 1, data -8, ra 16, augmentation 1 byte: pcrel sdata4 */
    20, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0,
    /* FDE at 24: length 28, CIE 28 back, start 0x1000 - (0x5000 + 32), length 0x40 */
    28, 0, 0, 0, 28, 0, 0, 0, 0xe0, 0xbf, 0xff, 0xff, 0x40, 0, 0, 0, 0, 0x41, 0x0e, 16, 0x86,
    2,                      /* after 1: cfa = rsp + 16, rbp at cfa - 16 */
    0x43, 0x0d, 6,          /* after 3 more: cfa = rbp + 16 */
    0x7b, 0x0c, 7, 8, 0xc6, /* after 59 more: cfa = rsp + 8, rbp restored */
    0, 0, 0, 0, 0, 0, 0
};

static void rows_are_what_the_instructions_say(void **state)
{
    (void)state;
    struct unwind_table t;
    struct unwind_budget budget = UNWIND_PRESET_BUDGET;
    assert_true(unwind_table_make(&t, frames, sizeof(frames), 0x5000, &budget));
    static const struct {
        uint64_t pc;
        struct unwind_row row;
    } rows[] = {
        { 0x1000, { .cfa = UNWIND_RSP, .offset = 8, .rbp = UNWIND_RBP_SAME } },
        { 0x1001, { .cfa = UNWIND_RSP, .offset = 16, .rbp = UNWIND_RBP_AT_CFA, .rbp_offset = -16 } },
        { 0x1003, { .cfa = UNWIND_RSP, .offset = 16, .rbp = UNWIND_RBP_AT_CFA, .rbp_offset = -16 } },
        { 0x1004, { .cfa = UNWIND_RBP, .offset = 16, .rbp = UNWIND_RBP_AT_CFA, .rbp_offset = -16 } },
        { 0x103f, { .cfa = UNWIND_RSP, .offset = 8, .rbp = UNWIND_RBP_SAME } },
        { 0x1040, { .cfa = UNWIND_NONE } },
    };
    for (unsigned i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        const struct unwind_row *r = unwind_table_find(&t, rows[i].pc);
        assert_non_null(r);
        assert_int_equal(r->cfa, rows[i].row.cfa);
        if (r->cfa == UNWIND_NONE) continue;
        assert_int_equal(r->offset, rows[i].row.offset);
        assert_int_equal(r->rbp, rows[i].row.rbp);
        if (r->rbp == UNWIND_RBP_AT_CFA) assert_int_equal(r->rbp_offset, rows[i].row.rbp_offset);
        assert_int_equal(r->begins, rows[i].pc == 0x1000);
    }
    assert_null(unwind_table_find(&t, 0xfff));
    unwind_table_fini(&t);
}

static void frames_that_are_cut_anywhere_do_no_harm(void **state)
{
    (void)state;
    for (size_t len = 0; len <= sizeof(frames); len++) {
        struct unwind_table t;
        struct unwind_budget budget = UNWIND_PRESET_BUDGET;
        uint8_t *copy = malloc(len ? len : 1);
        memcpy(copy, frames, len);
        assert_true(unwind_table_make(&t, copy, len, 0x5000, &budget));
        unwind_table_find(&t, 0x1003);
        unwind_table_fini(&t);
        free(copy);
    }
}

/* An .eh_frame of two CIEs of `nops` instructions each, and functions that refer to one and the other in turn. */
static uint8_t *make_frames(uint32_t nops, uint32_t functions, size_t *size)
{
    static const uint8_t cie[] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b, 0x0c, 7, 8 };
    size_t cie_size = sizeof(cie) + nops, at = 0;
    uint8_t *made = calloc(1, 2 * cie_size + functions * 20);
    for (unsigned i = 0; i < 2; i++, at += cie_size) {
        uint32_t len = (uint32_t)cie_size - 4;
        memcpy(made + at, cie, sizeof(cie)); /* NOP is 0 */
        memcpy(made + at, &len, 4);
    }
    for (uint32_t i = 0; i < functions; i++, at += 20) {
        uint32_t words[5] = { 16, (uint32_t)(at + 4 - i % 2 * cie_size), 0, 1, 0 };
        words[2] = 16 * i - (uint32_t)(at + 8); /* begins at 16 * i, is one byte long */
        memcpy(made + at, words, sizeof(words));
    }
    *size = at;
    return made;
}

static void what_functions_share_is_read_once_however_many_they_are(void **state)
{
    (void)state;
    size_t size;
    struct unwind_table t;
    uint8_t *made = make_frames(100000, 2000, &size);
    struct unwind_budget budget = UNWIND_PRESET_BUDGET, before = budget;
    assert_true(unwind_table_make(&t, made, size, 0, &budget));
    assert_false(t.is_cut);
    /* No more steps than bytes, where running it for each would have been 200 million. */
    assert_in_range(before.steps - budget.steps, 1, size);
    assert_int_equal(unwind_table_find(&t, 16 * 1999)->cfa, UNWIND_RSP);
    assert_int_equal(unwind_table_find(&t, 16 * 1999)->offset, 8);
    assert_int_equal(unwind_table_find(&t, 16 * 1998 + 8)->cfa, UNWIND_NONE);
    unwind_table_fini(&t);
    free(made);
}

static void a_table_ends_where_its_budget_does(void **state)
{
    (void)state;
    size_t size;
    struct unwind_table t;
    uint8_t *made = make_frames(10, 1000, &size);
    struct unwind_budget few_rows = { 1u << 20, 100 }, few_steps = { 200, 1u << 20 };
    assert_true(unwind_table_make(&t, made, size, 0, &few_rows));
    assert_true(t.is_cut);
    assert_int_equal(few_rows.rows, 0);
    assert_in_range(t.count, 1, 100);
    unwind_table_fini(&t);
    assert_true(unwind_table_make(&t, made, size, 0, &few_steps));
    assert_true(t.is_cut);
    assert_int_equal(few_steps.steps, 0);
    assert_non_null(unwind_table_find(&t, 0));
    assert_int_equal(unwind_table_find(&t, 16 * 999)->cfa, UNWIND_NONE); /* what was not read */
    unwind_table_fini(&t);
    free(made);
}

static void a_function_that_refers_to_no_beginning_is_left_out(void **state)
{
    (void)state;
    uint8_t copy[sizeof(frames)];
    for (uint8_t distance = 0; distance < 28; distance++) { /* 28 is right */
        struct unwind_table t;
        struct unwind_budget budget = UNWIND_PRESET_BUDGET;
        memcpy(copy, frames, sizeof(frames));
        copy[28] = distance;
        assert_true(unwind_table_make(&t, copy, sizeof(copy), 0x5000, &budget));
        assert_null(unwind_table_find(&t, 0x1003));
        unwind_table_fini(&t);
    }
}

/* A stack of words that begins at 0x7000. */
static uint64_t words[16];

static bool read_words(void *context, uint64_t address, uint64_t *out)
{
    (void)context;
    if (address < 0x7000 || (address - 0x7000) / 8 >= 16) return false;
    *out = words[(address - 0x7000) / 8];
    return true;
}

static void a_chain_of_frame_pointers_ends_at_0(void **state)
{
    (void)state;
    struct made_code made = { 0x1000, 0x2000 };
    const struct modules none = { .made = &made, .made_count = 1 };
    struct unwind_space *s;
    uint64_t unknown = 0, found[8];
    assert_int_equal(unwind_space_new(&s, &none, NULL), 0);
    const struct unwind_memory memory = { read_words, NULL, &unknown };
    memset(words, 0, sizeof(words));
    words[2] = 0x7030, words[3] = 0x1100; /* the frame of the leaf: whose is above, and where it returns to */
    words[6] = 0, words[7] = 0x1200;      /* the outermost */
    words[8] = 0x7060, words[9] = 0x1300; /* left of another stack that was here */
    words[12] = 0x7068, words[13] = 0x1400;
    struct unwind_registers r = { .ip = 0x1010, .sp = 0x7000, .bp = 0x7010 };
    assert_int_equal(unwind_stack(s, &r, &memory, found, 8), 3);
    assert_int_equal(found[1], 0x1100);
    assert_int_equal(found[2], 0x1200);
    assert_int_equal(unknown, 0);
    /* In the outermost itself there is none to follow. */
    r = (struct unwind_registers){ .ip = 0x1010, .sp = 0x7040, .bp = 0 };
    assert_int_equal(unwind_stack(s, &r, &memory, found, 8), 1);
    words[3] = 0x9000;
    r = (struct unwind_registers){ .ip = 0x1010, .sp = 0x7000, .bp = 0x7010 };
    assert_int_equal(unwind_stack(s, &r, &memory, found, 8), 1);
    assert_int_equal(unknown, 0x9000); /* no code is there, as far as is known */
    unwind_space_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_caller_is_found_without_frame_pointers),
        cmocka_unit_test(a_signals_frame_is_stepped_over),
        cmocka_unit_test(a_leafs_caller_is_found_within_the_c_library),
        cmocka_unit_test(a_static_function_has_its_file_and_line),
        cmocka_unit_test(what_is_mapped_has_a_build_id_and_a_bias),
        cmocka_unit_test(what_other_calls_have_left_is_no_frame),
        cmocka_unit_test(a_stack_that_cannot_be_read_ends_there),
        cmocka_unit_test(rows_are_what_the_instructions_say),
        cmocka_unit_test(frames_that_are_cut_anywhere_do_no_harm),
        cmocka_unit_test(what_functions_share_is_read_once_however_many_they_are),
        cmocka_unit_test(a_table_ends_where_its_budget_does),
        cmocka_unit_test(a_function_that_refers_to_no_beginning_is_left_out),
        cmocka_unit_test(a_chain_of_frame_pointers_ends_at_0),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
