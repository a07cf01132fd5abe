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

#include "perf/symbolizer.h"
#include "perf/unwind.h"
#include "perf/unwind_table.h"

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
                                  (uint64_t)u->uc_mcontext.gregs[REG_RBP] };
    struct unwind_memory memory = { read_own, NULL };
    pc_count = unwind_stack(space, &r, &memory, pcs, UNWIND_DEPTH_MAX);
}

/* The unwinder's own caller, from within a handler: over the kernel's frame. */
static void on_signal_by_hand(int number)
{
    (void)number;
    struct unwind_memory memory = { read_own, NULL };
    struct unwind_registers r;
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

static void a_stack_that_cannot_be_read_ends_there(void **state)
{
    (void)state;
    struct unwind_registers r = { (uint64_t)(uintptr_t)outermost, 0x1001, 0x2003 };
    struct unwind_memory memory = { read_own, NULL };
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
    assert_true(unwind_table_make(&t, frames, sizeof(frames), 0x5000));
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
    }
    assert_null(unwind_table_find(&t, 0xfff));
    unwind_table_fini(&t);
}

static void frames_that_are_cut_anywhere_do_no_harm(void **state)
{
    (void)state;
    for (size_t len = 0; len <= sizeof(frames); len++) {
        struct unwind_table t;
        uint8_t *copy = malloc(len ? len : 1);
        memcpy(copy, frames, len);
        assert_true(unwind_table_make(&t, copy, len, 0x5000));
        unwind_table_find(&t, 0x1003);
        unwind_table_fini(&t);
        free(copy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_caller_is_found_without_frame_pointers),
        cmocka_unit_test(a_signals_frame_is_stepped_over),
        cmocka_unit_test(a_leafs_caller_is_found_within_the_c_library),
        cmocka_unit_test(a_static_function_has_its_file_and_line),
        cmocka_unit_test(what_is_mapped_has_a_build_id_and_a_bias),
        cmocka_unit_test(a_stack_that_cannot_be_read_ends_there),
        cmocka_unit_test(rows_are_what_the_instructions_say),
        cmocka_unit_test(frames_that_are_cut_anywhere_do_no_harm),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
