#include "proxy/split_book.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "metric/histogram.h"

#define WORKERS 3u

static struct split_variant_conf variants[2];
static struct split_conf conf;
static struct err err;

static int set_up(void **state)
{
    (void)state;
    variants[0] = (struct split_variant_conf){ "a", 9000, "web" };
    variants[1] = (struct split_variant_conf){ "b", 1000, "canary" };
    conf = (struct split_conf){ .name = "checkout", .salt = "checkout", .variants = { variants, 2 } };
    return http_template_parse_source(SLICE("cookie:uid"), &conf.unit, &err);
}

static struct split_book *open_book(struct split_book *before)
{
    struct split_book *book = NULL;
    if (split_book_open(&book, before, &conf, WORKERS, &err) < 0) fail_msg("%s", err.text);
    return book;
}

/* Allocated; the caller's. */
static struct split_counts *read_book(const struct split_book *book, uint32_t variant)
{
    struct split_counts *counts = calloc(1, sizeof(*counts));
    assert_non_null(counts);
    split_book_read(book, variant, counts);
    return counts;
}

static void counts_of_all_workers_are_read_by_bucket_and_duration(void **state)
{
    (void)state;
    struct split_book *book = open_book(NULL);
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        split_book_count(book, worker, 1, 199, worker == 2, 100);
        split_book_count(book, worker, 1, 7, false, 5000000);
    }
    split_book_count(book, 0, 0, 7, true, 100);
    struct split_counts *second = read_book(book, 1), *first = read_book(book, 0);
    uint32_t fast = histogram_index(100), slow = histogram_index(5000000);
    assert_int_equal(second->cells[fast], 3);
    assert_int_equal(second->rows[fast / SPLIT_ROW_CELLS][199], 3);
    assert_int_equal(second->rows[slow / SPLIT_ROW_CELLS][7], 3);
    assert_int_equal(second->rows[slow / SPLIT_ROW_CELLS][199], 0);
    assert_int_equal(second->errors[199], 1);
    assert_int_equal(second->errors[7], 0);
    assert_int_equal(first->cells[fast], 1);
    assert_int_equal(first->errors[7], 1);
    free(first);
    free(second);
    split_book_close(book);
}

static void a_reload_that_deals_alike_goes_on_counting(void **state)
{
    (void)state;
    struct split_book *before = open_book(NULL);
    split_book_count(before, 0, 0, 1, false, 100);
    conf.response_header = true;
    struct split_book *book = open_book(before);
    assert_ptr_equal(book, before);
    split_book_close(before);
    struct split_counts *counts = read_book(book, 0);
    assert_int_equal(counts->cells[histogram_index(100)], 1);
    free(counts);
    split_book_close(book);
}

static void another_book_is_begun(const char *why)
{
    struct split_book *before, *book;
    struct split_conf changed = conf;
    struct split_variant_conf changed_variants[2];
    memcpy(changed_variants, variants, sizeof(variants));
    set_up(NULL);
    before = open_book(NULL);
    split_book_count(before, 0, 0, 1, false, 100);
    before->since_wall_ns = 1;
    memcpy(variants, changed_variants, sizeof(variants));
    conf = changed;
    book = open_book(before);
    if (book == before) fail_msg("%s", why);
    assert_true(book->since_wall_ns > 1);
    struct split_counts *counts = read_book(book, 0);
    assert_int_equal(counts->cells[histogram_index(100)], 0);
    free(counts);
    split_book_close(before);
    split_book_close(book);
    set_up(NULL);
}

static void whatever_deals_units_anew_begins_the_counts_anew(void **state)
{
    (void)state;
    variants[0].weight = 8000;
    variants[1].weight = 2000;
    another_book_is_begun("weights");
    variants[1].pool = "web";
    another_book_is_begun("a pool");
    variants[1].name = "c";
    another_book_is_begun("a name");
    conf.salt = "another";
    another_book_is_begun("the salt");
    assert_int_equal(http_template_parse_source(SLICE("client"), &conf.unit, &err), 0);
    another_book_is_begun("the unit");
    conf.variants.count = 1;
    another_book_is_begun("the number of variants");
}

static void counts_begin_anew_where_they_are_told_to(void **state)
{
    (void)state;
    struct split_book *book = open_book(NULL);
    split_book_count(book, 0, 1, 7, true, 100);
    split_book_count(book, 1, 1, 8, false, 5000000);
    uint64_t since = book->since_wall_ns;
    for (int round = 0; round < 2; round++) { /* the second time over what the first has kept */
        assert_int_equal(split_book_begin(book, &err), 0);
        struct split_counts *counts = read_book(book, 1), none = { { 0 }, { 0 }, { { 0 } } };
        assert_memory_equal(counts, &none, sizeof(none));
        free(counts);
        split_book_count(book, 2, 1, 7, round, 100);
        counts = read_book(book, 1);
        uint32_t fast = histogram_index(100);
        assert_int_equal(counts->cells[fast], 1);
        assert_int_equal(counts->rows[fast / SPLIT_ROW_CELLS][7], 1);
        assert_int_equal(counts->errors[7], round);
        assert_int_equal(counts->errors[8], 0);
        free(counts);
    }
    assert_true(book->since_wall_ns >= since);
    split_book_close(book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(counts_begin_anew_where_they_are_told_to, set_up),
        cmocka_unit_test_setup(counts_of_all_workers_are_read_by_bucket_and_duration, set_up),
        cmocka_unit_test_setup(a_reload_that_deals_alike_goes_on_counting, set_up),
        cmocka_unit_test_setup(whatever_deals_units_anew_begins_the_counts_anew, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
