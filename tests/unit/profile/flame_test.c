#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "profile/flame.h"
#include "profile/flame_tree.h"
#include "profile/perf_report.h"

static const struct profile_type types[] = { { "cpu", "nanoseconds" }, { "alloc", "bytes" } };

static struct profile *new_profile(void)
{
    struct profile *p = profile_new(types, 2);
    assert_non_null(p);
    return p;
}

/* `stack`: "main;run;read", at most 8 frames. */
static void add_labelled(struct profile *p, const char *stack, int64_t value,
                         const struct profile_label *label)
{
    char text[256];
    uint32_t ids[8], depth = 0;
    char *save = NULL;
    snprintf(text, sizeof(text), "%s", stack);
    for (char *name = strtok_r(text, ";", &save); name; name = strtok_r(NULL, ";", &save)) {
        memmove(ids + 1, ids, depth++ * sizeof(ids[0]));
        ids[0] = profile_add_name(p, slice_of(name));
    }
    int64_t values[2] = { value, 2 * value };
    profile_add(p, ids, depth, label, label ? 1 : 0, values);
}

static void add(struct profile *p, const char *stack, int64_t value)
{
    add_labelled(p, stack, value, NULL);
}

static char *graph_of(const struct profile *p, const struct profile *base, uint32_t nodes_max)
{
    struct json j;
    struct err err;
    json_init(&j, 1 << 20, false);
    struct flame_graph g = { .name = "g", .profile = p, .base = base, .nodes_max = nodes_max };
    assert_int_equal(flame_put(&j, &g, &err), 0);
    char *text = json_take(&j, NULL);
    assert_non_null(text);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("no %s in %s", part, text);
}

static char *page_of(const struct profile *p, const char *title)
{
    char *text = NULL;
    size_t len = 0;
    struct err err;
    FILE *f = open_memstream(&text, &len);
    assert_int_equal(flame_write(p, NULL, &(struct flame_options){ .title = title }, f, &err), 0);
    fclose(f);
    return text;
}

static void stacks_share_what_they_begin_with(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    add(p, "main;run;read", 3);
    add(p, "main;wait", 5);
    add(p, "main;run", 2);
    char *text = graph_of(p, NULL, 0);
    /* Nodes: main, run, read, wait; samples: run, read, wait. */
    assert_has(text, "\"frames\":[1,2,3,4],\"names\":[\"(folded)\",\"main\",\"run\",\"read\",\"wait\"]");
    assert_has(text, "\"depths\":[1,1,1,-1]");
    assert_has(text, "\"cells\":[2,1,1],\"sets\":[0,0,0],\"values\":[[2,3,5],[4,6,10]]}");
    free(text);
    profile_free(p);
}

static void addresses_in_one_function_are_one_frame(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    struct profile_mapping m = { .start = 4096,
                                 .limit = 9999,
                                 .file = profile_add_string(p, SLICE("/lib/a.so")) };
    struct profile_function f = { .name = profile_add_string(p, SLICE("read")) };
    struct profile_location l = { .mapping = profile_add_mapping(p, &m),
                                  .function = profile_add_function(p, &f) };
    for (l.address = 5000; l.address < 5003; l.address++) {
        uint32_t stack = profile_add_location(p, &l);
        profile_add(p, &stack, 1, NULL, 0, (int64_t[]){ 1, 1 });
    }
    char *text = graph_of(p, NULL, 0);
    assert_has(text, "\"names\":[\"(folded)\",\"read\"],\"files\":[\"\",\"a.so\"],\"file_of\":[0,1]");
    assert_has(text, "\"values\":[[3],[3]]");
    free(text);
    profile_free(p);
}

static void labels_are_kept_apart(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    struct profile_label pool = { .key = profile_add_string(p, SLICE("pool")),
                                  .text = profile_add_string(p, SLICE("web")) };
    struct profile_label worker = { .key = profile_add_string(p, SLICE("worker")),
                                    .unit = profile_add_string(p, SLICE("id")),
                                    .number = -7 };
    add(p, "main", 1);
    add_labelled(p, "main", 2, &pool);
    add_labelled(p, "main", 3, &worker);
    add_labelled(p, "main;run", 4, &pool);
    char *text = graph_of(p, NULL, 0);
    assert_has(text, "\"labels\":[[],[");
    assert_has(text, "[\"pool\",\"web\"]");
    assert_has(text, "[\"worker\",\"-7\"]");
    assert_has(text, "\"cells\":[1,0,0,1]");
    free(text);
    profile_free(p);
}

static void a_comparison_has_the_frames_of_both(void **state)
{
    (void)state;
    struct profile *before = new_profile(), *after = new_profile();
    add(before, "main;gone", 5);
    add(before, "main;same", 1);
    add(after, "main;same", 1);
    add(after, "main;fresh", 7);
    char *text = graph_of(after, before, 0);
    assert_has(text, "\"main\",\"fresh\",\"gone\",\"same\"");
    assert_has(text, "\"values\":[[7,0,1],[14,0,2]],\"base\":[[0,5,1],[0,10,2]]");
    free(text);
    profile_free(before);
    profile_free(after);
}

static void a_difference_is_a_comparison(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    add(p, "main;less", -5);
    add(p, "main;more", 7);
    char *text = graph_of(p, NULL, 0);
    assert_has(text, "\"values\":[[0,7],[0,14]],\"base\":[[5,0],[10,0]]");
    free(text);
    profile_free(p);
}

static void profiles_of_other_types_are_not_compared(void **state)
{
    (void)state;
    static const struct profile_type other = { "wall", "nanoseconds" };
    struct profile *p = new_profile(), *base = profile_new(&other, 1);
    struct json j;
    struct err err;
    json_init(&j, 1 << 20, false);
    struct flame_graph g = { .name = "g", .profile = p, .base = base };
    assert_int_equal(flame_put(&j, &g, &err), -1);
    assert_has(err.text, "cannot be compared");
    json_fini(&j);
    profile_free(p);
    profile_free(base);
}

static uint32_t count_numbers(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    assert_non_null(at);
    at = strchr(at, '[');
    uint32_t count = 1;
    for (; *at != ']'; at++) count += *at == ',';
    return count;
}

static void small_frames_are_folded_and_what_they_took_is_kept(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    char stack[64];
    int64_t total = 0;
    for (int i = 1; i <= 500; i++) {
        snprintf(stack, sizeof(stack), "main;f%03d;leaf", i);
        add(p, stack, i);
        total += i;
    }
    char *text = graph_of(p, NULL, 100);
    uint32_t nodes = count_numbers(text, "\"frames\"");
    assert_in_range(nodes, 90, 99); /* and the root */
    assert_int_equal(count_numbers(text, "\"depths\""), nodes);
    assert_has(text, "\"f500\"");
    assert_null(strstr(text, "\"f100\""));
    assert_null(strstr(text, "\"folded\":0"));
    int64_t sum = 0;
    char *at = strstr(text, "\"values\":[[") + strlen("\"values\":[[");
    for (;; at++) {
        sum += strtoll(at, &at, 10);
        if (*at == ']') break;
    }
    assert_int_equal(sum, total);
    free(text);
    profile_free(p);
}

static void a_graph_keeps_to_its_bound_where_all_weigh_the_same(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    char stack[64];
    for (int i = 0; i < 500; i++) {
        snprintf(stack, sizeof(stack), "main;f%03d", i);
        add(p, stack, 1);
    }
    char *text = graph_of(p, NULL, 100);
    assert_has(text, "\"frames\":[1,0],\"names\":[\"(folded)\",\"main\"]");
    assert_has(text, "\"folded\":500");
    free(text);
    profile_free(p);
}

static void names_cannot_end_the_script(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    add(p, "</script><b>;<!--;\xe2\x80\xa8\xe2\x80\xa9;\xff\xe2\x80", 1);
    char *text = page_of(p, "</title><script>\"&");
    assert_has(text, "<title>&lt;/title&gt;&lt;script&gt;&quot;&amp;</title>");
    assert_has(text, "\"\\u003c/script>\\u003cb>\",\"\\u003c!--\",\"\\u2028\\u2029\",\"\xef\xbf\xbd");
    const char *data = strstr(text, "id=\"data\">");
    assert_non_null(data);
    const char *end = strstr(data, "</script>");
    assert_int_equal(memcmp(end - 1, "}</script>\n<script>\n", 20), 0);
    free(text);
    profile_free(p);
}

static void long_names_are_cut(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    char name[2 * FLAME_NAME_MAX];
    memset(name, 'x', sizeof(name));
    uint32_t stack = profile_add_name(p, (struct slice){ name, sizeof(name) });
    profile_add(p, &stack, 1, NULL, 0, (int64_t[]){ 1, 1 });
    char *text = graph_of(p, NULL, 0);
    char *from = strchr(text, 'x');
    while (*from != 'x' || from[1] != 'x') from = strchr(from + 1, 'x');
    assert_int_equal(strspn(from, "x"), FLAME_NAME_MAX);
    free(text);
    profile_free(p);
}

static void a_page_that_cannot_be_written_is_an_error(void **state)
{
    (void)state;
    struct profile *p = new_profile();
    struct err err;
    add(p, "main", 1);
    FILE *f = fopen("/dev/full", "w");
    assert_non_null(f);
    assert_int_equal(flame_write(p, NULL, &(struct flame_options){ .title = "t" }, f, &err), -1);
    assert_has(err.text, "cannot write the page");
    fclose(f);
    profile_free(p);
}

static void a_report_may_be_empty(void **state)
{
    (void)state;
    char *text = NULL;
    size_t len = 0;
    struct err err;
    FILE *f = open_memstream(&text, &len);
    assert_int_equal(perf_report_write(&(struct perf_report){ .title = "t" }, f, &err), 0);
    fclose(f);
    assert_has(
        text,
        "{\"title\":\"t\",\"subtitle\":\"\",\"notes\":[],\"start_ms\":0,\"interval_ms\":0,\"series\":[],"
        "\"tables\":[],\"graphs\":[]}");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stacks_share_what_they_begin_with),
        cmocka_unit_test(addresses_in_one_function_are_one_frame),
        cmocka_unit_test(labels_are_kept_apart),
        cmocka_unit_test(a_comparison_has_the_frames_of_both),
        cmocka_unit_test(a_difference_is_a_comparison),
        cmocka_unit_test(profiles_of_other_types_are_not_compared),
        cmocka_unit_test(small_frames_are_folded_and_what_they_took_is_kept),
        cmocka_unit_test(a_graph_keeps_to_its_bound_where_all_weigh_the_same),
        cmocka_unit_test(names_cannot_end_the_script),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(a_page_that_cannot_be_written_is_an_error),
        cmocka_unit_test(a_report_may_be_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
