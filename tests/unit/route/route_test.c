#include "route/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "linear.h"

static struct route_table *table_of(const struct route_row *rows, uint32_t count)
{
    struct err err;
    struct route_table *t = route_table_new(rows, count, &err);
    if (!t) fail_msg("%s", err.text);
    return t;
}

static const struct route_row shop[] = {
    { "rest", .host = NULL, .path = NULL, .path_prefix = NULL, .index = 0 },
    { "api", .host = "api.example.com", .path = NULL, .path_prefix = "/v1/", .index = 1 },
    { "api-users", .host = "api.example.com", .path = NULL, .path_prefix = "/v1/users", .index = 2 },
    { "api-health", .host = "api.example.com", .path = "/v1/health", .path_prefix = NULL, .index = 3 },
    { "wild", .host = "*.example.com", .path = NULL, .path_prefix = NULL, .index = 4 },
    { "wild-eu", .host = "*.eu.example.com", .path = NULL, .path_prefix = "/a", .index = 5 },
    { "health", .host = NULL, .path = "/health", .path_prefix = NULL, .index = 6 },
    { "static", .host = NULL, .path = NULL, .path_prefix = "/static/", .index = 7 },
    { "six", .host = "[2001:DB8::1]", .path = NULL, .path_prefix = NULL, .index = 8 },
    { "late", .host = "api.example.com", .path = NULL, .path_prefix = "/v1/", .index = 9 },
    { "star", .host = NULL, .path = "*", .path_prefix = NULL, .index = 10 },
};

static void the_most_specific_route_is_taken(void **state)
{
    (void)state;
    static const struct {
        const char *host, *path;
        uint32_t index;
        enum route_host_reason host_reason;
        enum route_path_reason path_reason;
    } cases[] = {
        { "other.org", "/", 0, ROUTE_HOST_ANY, ROUTE_PATH_ANY },
        { "", "/", 0, ROUTE_HOST_ANY, ROUTE_PATH_ANY },
        { "other.org", "/health", 6, ROUTE_HOST_ANY, ROUTE_PATH_EXACT },
        { "other.org", "/healthy", 0, ROUTE_HOST_ANY, ROUTE_PATH_ANY },
        { "other.org", "/static/x", 7, ROUTE_HOST_ANY, ROUTE_PATH_PREFIX },
        { "other.org", "/static", 0, ROUTE_HOST_ANY, ROUTE_PATH_ANY },
        { "other.org", "*", 10, ROUTE_HOST_ANY, ROUTE_PATH_EXACT },
        { "api.example.com", "/v1/x", 1, ROUTE_HOST_EXACT, ROUTE_PATH_PREFIX },
        { "api.example.com", "/v1/users/7", 2, ROUTE_HOST_EXACT, ROUTE_PATH_PREFIX },
        { "api.example.com", "/v1/health", 3, ROUTE_HOST_EXACT, ROUTE_PATH_EXACT },
        { "api.example.com", "/v1/health/", 1, ROUTE_HOST_EXACT, ROUTE_PATH_PREFIX },
        { "API.Example.COM:8080", "/v1/x", 1, ROUTE_HOST_EXACT, ROUTE_PATH_PREFIX },
        { "api.example.com.", "/v1/x", 1, ROUTE_HOST_EXACT, ROUTE_PATH_PREFIX },
        { "api.example.com.:80", "/v1/x", 1, ROUTE_HOST_EXACT, ROUTE_PATH_PREFIX },
        { "api.example.com:", "/v1/x", 1, ROUTE_HOST_EXACT, ROUTE_PATH_PREFIX },
        { "api.example.com", "/V1/x", 4, ROUTE_HOST_WILDCARD, ROUTE_PATH_ANY },
        { "www.example.com", "/health", 4, ROUTE_HOST_WILDCARD, ROUTE_PATH_ANY },
        { "a.b.example.com", "/", 4, ROUTE_HOST_WILDCARD, ROUTE_PATH_ANY },
        { "example.com", "/", 0, ROUTE_HOST_ANY, ROUTE_PATH_ANY },
        { "notexample.com", "/", 0, ROUTE_HOST_ANY, ROUTE_PATH_ANY },
        { "x.eu.example.com", "/abc", 5, ROUTE_HOST_WILDCARD, ROUTE_PATH_PREFIX },
        { "x.eu.example.com", "/b", 4, ROUTE_HOST_WILDCARD, ROUTE_PATH_ANY },
        { "eu.example.com", "/abc", 4, ROUTE_HOST_WILDCARD, ROUTE_PATH_ANY },
        { ".example.com", "/", 0, ROUTE_HOST_ANY, ROUTE_PATH_ANY },
        { "[2001:db8::1]:443", "/", 8, ROUTE_HOST_EXACT, ROUTE_PATH_ANY },
        { "[2001:db8::1]", "/", 8, ROUTE_HOST_EXACT, ROUTE_PATH_ANY },
        { "[2001:db8::2]", "/", 0, ROUTE_HOST_ANY, ROUTE_PATH_ANY },
    };
    struct route_table *t = table_of(shop, sizeof(shop) / sizeof(*shop));
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct route_choice c;
        uint32_t index = match_plain(t, slice_of(cases[i].host), slice_of(cases[i].path), &c);
        if (index != cases[i].index) fail_msg("%s %s: %u", cases[i].host, cases[i].path, index);
        assert_int_equal(c.index, index);
        assert_int_equal(c.host, cases[i].host_reason);
        assert_int_equal(c.path, cases[i].path_reason);
    }
    route_table_free(t);
}

static void nothing_matches_where_nothing_is_for_everything(void **state)
{
    (void)state;
    static const struct route_row rows[] = {
        { "a", .host = "a.org", .path = NULL, .path_prefix = "/x", .index = 0 },
        { "b", .host = "*.org", .path = "/y", .path_prefix = NULL, .index = 1 }
    };
    struct route_table *t = table_of(rows, 2);
    struct route_choice c;
    assert_int_equal(match_plain(t, SLICE("a.org"), SLICE("/z"), &c), ROUTE_NONE);
    assert_int_equal(match_plain(t, SLICE_NONE, SLICE_NONE, &c), ROUTE_NONE);
    assert_int_equal(c.index, ROUTE_NONE);
    assert_int_equal(match_plain(t, SLICE("a.org"), SLICE("/y"), &c), 1);
    route_table_free(t);
    t = table_of(NULL, 0);
    assert_int_equal(match_plain(t, SLICE("a.org"), SLICE("/y"), &c), ROUTE_NONE);
    route_table_free(t);
    route_table_free(NULL);
}

static void a_host_longer_than_any_takes_the_routes_for_any(void **state)
{
    (void)state;
    char host[600];
    memset(host, 'a', sizeof(host));
    memcpy(host + sizeof(host) - 12, ".example.com", 12);
    struct route_table *t = table_of(shop, sizeof(shop) / sizeof(*shop));
    struct route_choice c;
    assert_int_equal(match_plain(t, (struct slice){ host, sizeof(host) }, SLICE("/"), &c), 0);
    const char *cut = host + sizeof(host) - ROUTE_HOST_MAX;
    assert_int_equal(match_plain(t, (struct slice){ cut, ROUTE_HOST_MAX }, SLICE("/"), &c), 4);
    assert_int_equal(match_plain(t, (struct slice){ cut - 1, ROUTE_HOST_MAX + 1 }, SLICE("/"), &c), 0);
    route_table_free(t);
}

static void rows_that_cannot_be_are_refused_with_a_sentence(void **state)
{
    (void)state;
    static const char *const hosts[] = { "",     "*",          "*.",    ".",      ".a",
                                         "a..b", "a.org:80",   "a.*.b", "a*.org", "*a.org",
                                         "a b",  "münchen.de", "[::g]", "*.*.org" };
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
        struct route_row row = { .name = "bad", .host = hosts[i] };
        struct err err = { "" };
        if (route_table_new(&row, 1, &err)) fail_msg("%s", hosts[i]);
        assert_non_null(strstr(err.text, "route \"bad\": "));
    }
    struct route_row both = { .name = "both", .path = "/", .path_prefix = "/" };
    struct err err = { "" };
    assert_null(route_table_new(&both, 1, &err));
    assert_non_null(strstr(err.text, "more than one of path"));
}

static void good_hosts_are_taken(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "a", "localhost", "a.b.", "*.a", "*.b.c.", "127.0.0.1", "[::1]", "xn--mnchen-3ya.de", "_dmarc.a-b.org"
    };
    for (size_t i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
        struct err err = { "" };
        if (route_check_host(slice_of(hosts[i]), &err) < 0) fail_msg("%s", err.text);
    }
}

/* Text of a few letters, so that rows and requests meet. */
static const char *draw_path(struct rng *rng, char *out)
{
    uint32_t len = rng_below(rng, 13);
    for (uint32_t i = 0; i < len; i++) out[i] = i == 0 ? '/' : "ab/"[rng_below(rng, 3)];
    out[len] = 0;
    return out;
}

static const char *draw_host(struct rng *rng, char *out, bool is_row)
{
    static const char *const labels[] = { "a", "b", "A", "ab" };
    size_t len = 0;
    if (is_row && rng_below(rng, 3) == 0) len += (size_t)sprintf(out, "*.");
    uint32_t count = 1 + rng_below(rng, 4);
    for (uint32_t i = 0; i < count; i++)
        len += (size_t)sprintf(out + len, "%s%s", i ? "." : "", labels[rng_below(rng, 4)]);
    if (rng_below(rng, 8) == 0) len += (size_t)sprintf(out + len, ".");
    if (!is_row && rng_below(rng, 4) == 0) sprintf(out + len, ":8080");
    return out;
}

struct drawn_row {
    char host[40], path[20];
};

static void draw_rows(struct rng *rng, struct route_row *rows, struct drawn_row *texts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = (struct route_row){ .name = "drawn", .index = i };
        if (rng_below(rng, 4)) rows[i].host = draw_host(rng, texts[i].host, true);
        uint32_t kind = rng_below(rng, 5);
        if (!kind) continue;
        const char *path = draw_path(rng, texts[i].path);
        if (kind < 3)
            rows[i].path = path;
        else
            rows[i].path_prefix = path;
    }
}

static void it_is_what_trying_every_row_gives(void **state)
{
    (void)state;
    static struct route_row rows[300];
    static struct drawn_row texts[300];
    struct rng rng;
    uint32_t matched = 0;
    rng_seed(&rng, 11);
    for (uint32_t round = 0; round < 300; round++) {
        uint32_t count = 1 + rng_below(&rng, 300);
        draw_rows(&rng, rows, texts, count);
        struct route_table *t = table_of(rows, count);
        for (uint32_t i = 0; i < 300; i++) {
            struct drawn_row asked;
            struct route_choice got, wanted;
            struct slice host = slice_of(draw_host(&rng, asked.host, false));
            struct slice path = slice_of(draw_path(&rng, asked.path));
            linear_match(rows, count, host, path, &wanted);
            match_plain(t, host, path, &got);
            if (got.index != wanted.index || got.host != wanted.host || got.path != wanted.path)
                fail_msg("%s %s: %u, not %u", asked.host, asked.path, got.index, wanted.index);
            matched += got.index != ROUTE_NONE;
        }
        route_table_free(t);
    }
    assert_true(matched > 50000);
}

/* Ten thousand hosts with a route each, and ten thousand prefixes of one host, each found. */
static void ten_thousand_routes_are_all_found(void **state)
{
    (void)state;
    static struct route_row rows[20000];
    static char texts[20000][48];
    for (uint32_t i = 0; i < 20000; i++) {
        rows[i].index = i;
        if (i < 10000) {
            snprintf(texts[i], sizeof(texts[i]), "host-%u.example.com", i);
            rows[i].host = texts[i];
        } else {
            snprintf(texts[i], sizeof(texts[i]), "/service/%u/", i);
            rows[i].path_prefix = texts[i];
            rows[i].host = "big.example.com";
        }
    }
    struct route_table *t = table_of(rows, 20000);
    for (uint32_t i = 0; i < 20000; i++) {
        struct route_choice c;
        char path[64];
        snprintf(path, sizeof(path), "%.40s%s", i < 10000 ? "/" : texts[i], "tail");
        assert_int_equal(match_plain(t, slice_of(rows[i].host), slice_of(path), &c), i);
    }
    route_table_free(t);
}

static uint32_t match_with_regexes(const struct route_table *t, struct slice path, struct route_choice *out)
{
    struct route_scratch *scratch = route_scratch_new();
    struct http_head head = { 0 };
    struct route_request rq = { .path = path, .head = &head };
    assert_non_null(scratch);
    uint32_t index = route_match(t, &rq, scratch, out);
    route_scratch_free(scratch);
    return index;
}

static void a_long_path_is_matched_as_a_short_one(void **state)
{
    (void)state;
    static const struct route_row rows[] = { { "deny", .path_regex = "^/([^?%]|%..)*$", .index = 0 },
                                             { "rest", .index = 1 } };
    struct route_table *t = table_of(rows, 2);
    struct route_choice choice;
    char path[1400];
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    assert_int_equal(match_with_regexes(t, (struct slice){ path, sizeof(path) }, &choice), 0);
    assert_int_equal(match_with_regexes(t, SLICE("/%4"), &choice), 1);
    assert_false(choice.is_undecided);
    route_table_free(t);
}

static void no_route_is_taken_past_one_that_cannot_be_decided(void **state)
{
    (void)state;
    static const char *const methods[] = { "DELETE" };
    static const struct slice hard = SLICE("/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
    struct route_row rows[] = { { "deny", .path_regex = "^/(a+)+[^!]$", .index = 0 },
                                { "rest", .index = 1 } };
    struct route_choice choice;
    struct route_table *t = table_of(rows, 2);
    assert_int_equal(match_with_regexes(t, hard, &choice), ROUTE_NONE);
    assert_true(choice.is_undecided);
    assert_int_equal(match_with_regexes(t, SLICE("/b!"), &choice), 1);
    assert_false(choice.is_undecided);
    route_table_free(t);
    rows[0].methods = methods; /* it would not be taken anyhow */
    rows[0].method_count = 1;
    t = table_of(rows, 2);
    assert_int_equal(match_with_regexes(t, hard, &choice), 1);
    assert_false(choice.is_undecided);
    route_table_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_most_specific_route_is_taken),
        cmocka_unit_test(nothing_matches_where_nothing_is_for_everything),
        cmocka_unit_test(a_host_longer_than_any_takes_the_routes_for_any),
        cmocka_unit_test(rows_that_cannot_be_are_refused_with_a_sentence),
        cmocka_unit_test(good_hosts_are_taken),
        cmocka_unit_test(it_is_what_trying_every_row_gives),
        cmocka_unit_test(ten_thousand_routes_are_all_found),
        cmocka_unit_test(a_long_path_is_matched_as_a_short_one),
        cmocka_unit_test(no_route_is_taken_past_one_that_cannot_be_decided),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
