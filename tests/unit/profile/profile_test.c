#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "profile/folded.h"
#include "profile/pprof.h"

static const struct profile_type types[] = { { "samples", "count" }, { "cpu", "nanoseconds" } };

static struct profile *new_profile(void)
{
    struct profile *p = profile_new(types, 2);
    assert_non_null(p);
    return p;
}

static void add(struct profile *p, const char *leaf, const char *root, int64_t n)
{
    uint32_t stack[2] = { profile_add_name(p, slice_of(leaf)), profile_add_name(p, slice_of(root)) };
    int64_t values[2] = { n, n * 1000 };
    profile_add(p, stack, 2, NULL, 0, values);
}

static char *folded(const struct profile *p, uint32_t type)
{
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    folded_write(p, type, f);
    fclose(f);
    return text;
}

static void equal_stacks_are_one_sample(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    add(p, "read", "main", 1);
    add(p, "write", "main", 2);
    add(p, "read", "main", 3);
    assert_int_equal(p->sample_count, 2);
    char *text = folded(p, 0);
    assert_string_equal(text, "main;read 4\nmain;write 2\n");
    free(text);
    assert_int_equal(profile_total(p, 1), 6000);
    profile_free(p);
}

static void labels_tell_samples_apart(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    uint32_t stack[1] = { profile_add_name(p, SLICE("read")) };
    int64_t values[2] = { 1, 1000 };
    for (int64_t worker = 0; worker < 3; worker++) {
        struct profile_label label = { .key = profile_add_string(p, SLICE("worker")),
                                       .unit = profile_add_string(p, SLICE("id")),
                                       .number = worker };
        profile_add(p, stack, 1, &label, 1, values);
        profile_add(p, stack, 1, &label, 1, values);
    }
    assert_int_equal(p->sample_count, 3);
    for (uint32_t i = 0; i < 3; i++) assert_int_equal(p->samples[i].values[0], 2);
    profile_free(p);
}

static void a_difference_has_what_grew_and_what_shrank(void **state)
{
    (void)state;
    struct profile *before = new_profile(), *after = new_profile();
    add(before, "read", "main", 5);
    add(before, "gone", "main", 1);
    add(after, "read", "main", 7);
    add(after, "new", "main", 2);
    profile_merge(after, before, -1);
    char *text = folded(after, 0);
    assert_string_equal(text, "main;read 2\nmain;new 2\nmain;gone -1\n");
    free(text);
    profile_free(before);
    profile_free(after);
}

static void many_stacks_are_found_again(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    char name[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 20000; i++) {
            snprintf(name, sizeof(name), "f%d", i);
            add(p, name, "main", 1);
        }
    assert_int_equal(p->sample_count, 20000);
    assert_int_equal(p->function_count, 20002);
    assert_int_equal(profile_total(p, 0), 40000);
    assert_int_equal(p->lost, 0);
    profile_free(p);
}

static void a_deep_stack_keeps_its_leaf(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    uint32_t stack[PROFILE_DEPTH_MAX + 10];
    int64_t values[2] = { 1, 1 };
    for (uint32_t i = 0; i < PROFILE_DEPTH_MAX + 10; i++) {
        struct profile_location l = { .address = 0x1000 + i };
        stack[i] = profile_add_location(p, &l);
    }
    profile_add(p, stack, PROFILE_DEPTH_MAX + 10, NULL, 0, values);
    assert_int_equal(p->samples[0].depth, PROFILE_DEPTH_MAX);
    assert_int_equal(p->locations[p->frames[0]].address, 0x1000);
    profile_free(p);
}

static void a_frame_without_a_name_is_its_address(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    char memory[64];
    struct profile_mapping m = { .start = 0x1000,
                                 .limit = 0x2000,
                                 .file = profile_add_string(p, SLICE("/usr/lib/libc.so.6")) };
    struct profile_location l = { .address = 0x1234, .mapping = profile_add_mapping(p, &m) };
    struct slice name = profile_frame_name(p, profile_add_location(p, &l), memory, sizeof(memory));
    assert_true(slice_equal(name, SLICE("0x1234 [libc.so.6]")));
    profile_free(p);
}

/* Field by field what google/pprof's profile.proto says, for one sample. */
static void pprof_writes_profile_proto(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    add(p, "read", "main", 3);
    char *packed = NULL;
    size_t len = 0;
    struct err err;
    assert_int_equal(pprof_write(p, &packed, &len, &err), 0);
    uint8_t out[512];
    z_stream z = {
        .next_in = (Bytef *)packed, .avail_in = (uInt)len, .next_out = out, .avail_out = sizeof(out)
    };
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    /* Strings: 0 "", 1 read, 2 main, then samples, count, cpu, nanoseconds, and the preset's name. */
    static const uint8_t start[] = {
        0x0a, 4, 0x08, 3, 0x10, 4,                             /* sample_type {3, 4} */
        0x0a, 4, 0x08, 5, 0x10, 6,                             /* sample_type {5, 6} */
        0x12, 9, 0x0a, 2, 1,    2,   0x12, 3,   3, 0xb8, 0x17, /* sample {[1, 2], [3, 3000]} */
        0x22, 6, 0x08, 1, 0x22, 2,   0x08, 1,                  /* location {1, line {function 1}} */
        0x22, 6, 0x08, 2, 0x22, 2,   0x08, 2,                  /* location {2, line {function 2}} */
        0x2a, 6, 0x08, 1, 0x10, 1,   0x18, 1,                  /* function {1, "read", "read"} */
        0x2a, 6, 0x08, 2, 0x10, 2,   0x18, 2,                  /* function {2, "main", "main"} */
        0x70, 7,                                               /* default_sample_type */
        0x32, 0, 0x32, 4, 'r',  'e', 'a',  'd',                /* string_table */
    };
    assert_true(z.total_out > sizeof(start));
    assert_memory_equal(out, start, sizeof(start));
    inflateEnd(&z);
    free(packed);
    profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_stacks_are_one_sample),
        cmocka_unit_test(labels_tell_samples_apart),
        cmocka_unit_test(a_difference_has_what_grew_and_what_shrank),
        cmocka_unit_test(many_stacks_are_found_again),
        cmocka_unit_test(a_deep_stack_keeps_its_leaf),
        cmocka_unit_test(a_frame_without_a_name_is_its_address),
        cmocka_unit_test(pprof_writes_profile_proto),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
