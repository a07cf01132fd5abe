#include "base/quantity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(table) (sizeof(table) / sizeof(*(table)))

static void durations_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ms;
    } cases[] = {
        { "0", 0 },
        { "0s", 0 },
        { "250ms", 250 },
        { "5s", 5000 },
        { "2m", 120000 },
        { "1h30m", 5400000 },
        { "1.5s", 1500 },
        { "1m1.5s", 61500 },
        { "1d", 86400000 },
        { "0.001s", 1 },
        { "1d1h1m1s1ms", 90061001 },
        { "18446744073709551615ms", UINT64_MAX },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = { "" };
        uint64_t ms = 1;
        if (quantity_parse_ms(slice_of(cases[i].text), &ms, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        if (ms != cases[i].ms) fail_msg("%s gives %llu", cases[i].text, (unsigned long long)ms);
    }
}

static void what_is_no_duration_is_refused_with_a_remedy(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        { "", "an empty text is not a duration; write one like 5s, 200ms or 1h30m" },
        { "5", "\"5\" lacks a unit; write 5s for seconds or 5ms for milliseconds" },
        { "1h30", "\"1h30\" lacks a unit; write 1h30s for seconds or 1h30ms for milliseconds" },
        { "-5s", "\"-5s\" is not a duration; write one like 5s, 200ms or 1h30m" },
        { "5 s", "\"5 s\" is not a duration; the units are d, h, m, s and ms, in this order" },
        { "30m1h", "\"30m1h\" is not a duration; the units are d, h, m, s and ms, in this order" },
        { "1s1s", "\"1s1s\" is not a duration; the units are d, h, m, s and ms, in this order" },
        { "5sec", "\"5sec\" is not a duration; the units are d, h, m, s and ms, in this order" },
        { "1.s", "\"1.s\" is not a duration; write one like 5s, 200ms or 1h30m" },
        { ".5s", "\".5s\" is not a duration; write one like 5s, 200ms or 1h30m" },
        { "1.5ms", "\"1.5ms\" is not a whole number of milliseconds" },
        { "0.0001s", "\"0.0001s\" is not a whole number of milliseconds" },
        { "18446744073709551616ms", "\"18446744073709551616ms\" is too long a duration" },
        { "300000000000000000d", "\"300000000000000000d\" is too long a duration" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = { "" };
        uint64_t ms;
        assert_int_equal(quantity_parse_ms(slice_of(cases[i].text), &ms, &err), -1);
        assert_string_equal(err.text, cases[i].sentence);
    }
}

static void sizes_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        { "0", 0 },
        { "512", 512 },
        { "512B", 512 },
        { "16KiB", 16384 },
        { "64KB", 64000 },
        { "1MiB", 1 << 20 },
        { "1.5MiB", 3 << 19 },
        { "2GiB", UINT64_C(2) << 30 },
        { "1TB", UINT64_C(1000000000000) },
        { "18446744073709551615", UINT64_MAX },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = { "" };
        uint64_t bytes = 1;
        if (quantity_parse_bytes(slice_of(cases[i].text), &bytes, &err) < 0)
            fail_msg("%s: %s", cases[i].text, err.text);
        if (bytes != cases[i].bytes) fail_msg("%s gives %llu", cases[i].text, (unsigned long long)bytes);
    }
}

static void what_is_no_size_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = { "",
                                         "KiB",
                                         "-1",
                                         "1k",
                                         "1K",
                                         "16kib",
                                         "1KiB5",
                                         "1KiB ",
                                         "1 KiB",
                                         "0.5",
                                         "1.0001KiB",
                                         "18446744073709551616",
                                         "16777216TiB",
                                         "0x10",
                                         "1e3" };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct err err = { "" };
        uint64_t bytes;
        if (quantity_parse_bytes(slice_of(cases[i]), &bytes, &err) == 0)
            fail_msg("\"%s\" was read", cases[i]);
        assert_true(strlen(err.text) > 0);
    }
}

static void durations_are_printed_short_and_exact(void **state)
{
    (void)state;
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { 1, "1ms" },
        { 250, "250ms" },
        { 1000, "1s" },
        { 1500, "1.5s" },
        { 1001, "1.001s" },
        { 90000, "1m30s" },
        { 5400000, "1h30m" },
        { 86400000, "24h" },
        { 3600001, "1h1ms" },
        { UINT64_MAX, "5124095576030h25m51.615s" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[32];
        quantity_print_ms(cases[i].ms, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void sizes_are_printed_short_and_exact(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        { 0, "0" },
        { 1, "1" },
        { 1000, "1KB" },
        { 1024, "1KiB" },
        { 1025, "1025" },
        { 65536, "64KiB" },
        { 512000, "500KiB" },
        { 64000000, "64MB" },
        { 1 << 20, "1MiB" },
        { 3 << 19, "1536KiB" },
        { UINT64_MAX, "18446744073709551615" },
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        char out[32];
        quantity_print_bytes(cases[i].bytes, out);
        assert_string_equal(out, cases[i].text);
    }
}

static void what_is_printed_reads_back(void **state)
{
    (void)state;
    uint64_t value = 1;
    for (int i = 0; i < 10000; i++) {
        char out[32];
        uint64_t back;
        value = value * UINT64_C(6364136223846793005) + 1442695040888963407;
        uint64_t tried = value >> (i % 64);
        quantity_print_ms(tried, out);
        assert_int_equal(quantity_parse_ms(slice_of(out), &back, NULL), 0);
        assert_true(back == tried);
        quantity_print_bytes(tried << (i % 3 * 10), out);
        assert_int_equal(quantity_parse_bytes(slice_of(out), &back, NULL), 0);
        assert_true(back == tried << (i % 3 * 10));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(what_is_no_duration_is_refused_with_a_remedy),
        cmocka_unit_test(sizes_are_read),
        cmocka_unit_test(what_is_no_size_is_refused),
        cmocka_unit_test(durations_are_printed_short_and_exact),
        cmocka_unit_test(sizes_are_printed_short_and_exact),
        cmocka_unit_test(what_is_printed_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
