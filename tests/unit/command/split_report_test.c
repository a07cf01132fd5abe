#include "command/split_report.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "command/document.h"

/* Allocated. */
static char *told(int (*tell)(const struct conf_node *, FILE *), const char *json)
{
    struct err err;
    struct conf_tree tree;
    char *text = NULL;
    size_t len = 0;
    if (document_read(&tree, slice_of(json), &err) < 0) fail_msg("%s", err.text);
    FILE *out = open_memstream(&text, &len);
    assert_int_equal(tell(tree.root, out), 0);
    fclose(out);
    conf_tree_free(&tree);
    return text;
}

#define ESTIMATE(value, low, high) "{\"value\": " value ", \"low\": " low ", \"high\": " high "}"
#define TIMES                                                               \
    "\"p50_ms\": " ESTIMATE("1.2", "1.1", "1.3") ", \"p95_ms\": " ESTIMATE( \
        "9", "8", "10") ", \"p99_ms\": " ESTIMATE("20", "15", "null")
#define FIRST                                                                                       \
    "{\"name\": \"a\", \"pool\": \"web\", \"weight\": 90, \"share\": 0.899, \"exchanges\": 10000, " \
    "\"design_effect\": 2.34, \"errors\": 12, \"error_share\": " ESTIMATE(                          \
        "0.0012", "0.0007", "0.0021") ", " TIMES ", "                                               \
                                      "\"against_first\": {\"error_difference\": " ESTIMATE(        \
                                          "0", "0", "0") ", \"z\": 0, \"p\": 1}}"

/* Of two variants, the second of which differs by `difference` with `p`. */
static char *report_of(const char *difference, const char *always, const char *p, const char *ratio)
{
    char json[8192];
    snprintf(
        json, sizeof(json),
        "{\"split\": \"checkout\", \"since\": \"2026-01-02T15:04:05Z\", \"variants\": [" FIRST
        ", {\"name\": \"b\", \"pool\": \"canary\", \"weight\": 10, \"share\": 0.101, \"exchanges\": 1123,"
        "\"errors\": 9, \"error_share\": {\"value\": 0.008, \"low\": 0.004, \"high\": 0.015}, " TIMES ","
        "\"against_first\": {\"error_difference\": %s, \"error_difference_always\": %s, \"z\": 1, \"p\": %s,"
        "\"p50_difference_ms\": " ESTIMATE("0.1", "-0.2", "0.4") ", \"p95_difference_ms\": " ESTIMATE(
            "3", "1", "5") ", \"p99_difference_ms\": " ESTIMATE("-9", "null",
                                                                "-2") "}}], \"sample_ratio\": %s}",
        difference, always, p, ratio);
    return told(split_report_tell, json);
}

#define NOTHING ESTIMATE("0.001", "-0.01", "0.02")
#define FITS "{\"chi2\": 0.5, \"design_effect\": 2.5, \"p\": 0.48, \"is_alarm\": false}"

static void a_report_has_a_line_of_figures_for_each_variant(void **state)
{
    (void)state;
    char *text = report_of(ESTIMATE("0.001", "-0.001", "0.003"), NOTHING, "0.27", FITS);
    assert_non_null(strstr(text, "split checkout, since 2026-01-02T15:04:05Z\n"));
    assert_non_null(strstr(
        text, "a        web     90.00 %  89.90 %      10000     2.3      12  0.12 (0.07 to 0.21)  1.20 (1.10 "
              "to 1.30)  9.00 (8.00 to 10.00)  20.00 (15.00 to -)\n"));
    assert_non_null(
        strstr(text, "b        canary  10.00 %  10.10 %       1123       -       9  0.80 (0.40 to 1.50)"));
    free(text);
}

/* Not even where p is small: what is shown is the interval. */
static void a_difference_that_chance_may_make_is_not_called_one(void **state)
{
    (void)state;
    char *text = report_of(ESTIMATE("0.001", "-0.001", "0.003"), NOTHING, "0.04", FITS);
    assert_non_null(strstr(
        text,
        "b       no significant difference from a in errors: +0.10 (-0.10 to +0.30) points, p 0.040\n"));
    assert_non_null(strstr(text, "a       what the others are compared with\n"));
    assert_non_null(strstr(text, "shares  as the weights say (p 0.480, design effect 2.5)\n"));
    free(text);
}

static void a_significant_difference_says_in_which_direction(void **state)
{
    (void)state;
    char *text = report_of(ESTIMATE("0.0068", "0.002", "0.013"), NOTHING, "0.051", FITS);
    assert_non_null(
        strstr(text, "b       significantly more errors than a: +0.68 (+0.20 to +1.30) points, p 0.051, "
                     "if this is the only look\n"));
    free(text);
    text = report_of(ESTIMATE("-0.02", "-0.03", "-0.01"), ESTIMATE("-0.02", "-0.04", "-0.005"), "1e-9", FITS);
    assert_non_null(strstr(
        text, "b       significantly fewer errors than a: -2.00 (-3.00 to -1.00) points, p below 0.001, "
              "however often one looks\n"));
    free(text);
}

static void durations_are_compared_too(void **state)
{
    (void)state;
    char *text = report_of(NOTHING, NOTHING, "0.5", FITS);
    assert_non_null(strstr(text, "  no significant difference from a in p50: +0.10 (-0.20 to +0.40) ms\n"));
    assert_non_null(strstr(text, "  significantly longer p95 than a: +3.00 (+1.00 to +5.00) ms\n"));
    assert_non_null(strstr(text, "  significantly shorter p99 than a: -9.00 (- to -2.00) ms\n"));
    free(text);
}

static void shares_that_the_split_cannot_have_made_are_an_alarm(void **state)
{
    (void)state;
    char *text = report_of(NOTHING, NOTHING, "1", "{\"chi2\": 30, \"p\": 2e-7, \"is_alarm\": true}");
    assert_non_null(
        strstr(text, "shares  NOT those of the weights (p below 0.001), if this is the only look"));
    free(text);
    text = report_of(
        NOTHING, NOTHING, "1",
        "{\"chi2\": 90, \"design_effect\": 4, \"p\": 2e-9, \"is_alarm\": true, \"is_alarm_always\": true}");
    assert_non_null(strstr(
        text, "NOT those of the weights (p below 0.001, design effect 4.0), however often one looks: "));
    free(text);
}

static void what_is_not_known_is_a_dash(void **state)
{
    (void)state;
    char *text = told(
        split_report_tell,
        "{\"split\": \"s\", \"since\": null, \"variants\": [{\"name\": \"a\", \"pool\": \"p\","
        "\"weight\": 100, \"share\": null, \"exchanges\": 0, \"errors\": 0, \"error_share\": null,"
        "\"p50_ms\": {\"value\": null, \"low\": null, \"high\": null}, \"against_first\": null},"
        "{\"name\": \"b\", \"against_first\": null}], \"sample_ratio\": null}");
    assert_non_null(strstr(text, "split s, since -\n"));
    assert_non_null(strstr(text, "a        p     100.00 %      -          0       -       0              -   "
                                 "    -       -       -\n"));
    assert_non_null(strstr(text, "b       nothing to compare with a yet\n"));
    assert_non_null(strstr(text, "shares  -\n"));
    free(text);
}

static void several_comparisons_come_with_a_warning(void **state)
{
    (void)state;
    char *text = told(split_report_tell, "{\"variants\": [" FIRST ", " FIRST ", " FIRST "]}");
    assert_non_null(strstr(text, "\n8 comparisons: "));
    free(text);
    text = told(split_report_tell, "{\"variants\": [" FIRST "]}");
    assert_null(strstr(text, "comparisons"));
    free(text);
}

static void the_list_names_each_split_once(void **state)
{
    (void)state;
    char *text = told(
        split_list_tell,
        "{\"splits\": [{\"name\": \"checkout\", \"unit\": \"cookie:uid\", \"variants\": [{\"name\": \"a\","
        "\"weight\": 87.5, \"pool\": \"web\", \"exchanges\": 70}, {\"name\": \"b\", \"weight\": 12.5,"
        "\"pool\": \"canary\", \"exchanges\": 1000}]}]}");
    assert_string_equal(text, "split     unit        variant   weight  pool    exchanges\n"
                              "checkout  cookie:uid  a        87.50 %  web            70\n"
                              "                      b        12.50 %  canary       1000\n");
    free(text);
    text = told(split_list_tell, "{\"splits\": []}");
    assert_string_equal(text, "There are no splits.\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_report_has_a_line_of_figures_for_each_variant),
        cmocka_unit_test(a_difference_that_chance_may_make_is_not_called_one),
        cmocka_unit_test(a_significant_difference_says_in_which_direction),
        cmocka_unit_test(durations_are_compared_too),
        cmocka_unit_test(shares_that_the_split_cannot_have_made_are_an_alarm),
        cmocka_unit_test(what_is_not_known_is_a_dash),
        cmocka_unit_test(several_comparisons_come_with_a_warning),
        cmocka_unit_test(the_list_names_each_split_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
