#include "metric/exposition.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define PROMTOOL "/usr/bin/promtool"

static double read_number(void *ctx)
{
    return *(double *)ctx;
}

static double gauge = 2.5, infinite, big = 1e15;

static struct metric_registry *make(void)
{
    struct metric_registry *reg;
    struct err err;
    if (metric_registry_new(&reg, 1, 100, &err) < 0) fail_msg("%s", err.text);
    const struct metric_label label[] = { { "pool", "a\"b\\c\nd" }, { "class", "2xx" } };
    uint32_t requests = metric_counter(reg, "weir_requests_total", "Requests \"all\"\nof C:\\.", label, 2);
    uint32_t seconds = metric_histogram(reg, "weir_request_seconds", "How long.", label + 1, 1);
    struct metric_shard *shard = metric_shard_of(reg, 0);
    metric_add(shard, requests, 42);
    metric_observe(shard, seconds, 90);
    metric_observe(shard, seconds, 900);
    metric_observe(shard, seconds, 1000000);
    metric_observe(shard, seconds, UINT64_C(3000) * 1000 * 1000);
    infinite = INFINITY;
    metric_gauge_fn(reg, "weir_connections", "Open.", NULL, 0, read_number, &gauge);
    metric_gauge_fn(reg, "weir_limit_bytes", "A limit.", NULL, 0, read_number, &infinite);
    metric_counter_fn(reg, "weir_bytes_total", "Bytes.", NULL, 0, read_number, &big);
    return reg;
}

static char *print(enum exposition_format format)
{
    struct metric_registry *reg = make();
    size_t len;
    char *text = exposition_print(reg, format, &len);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    metric_registry_free(reg);
    return text;
}

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("no %s in\n%s", part, text);
}

static void text_is_as_prometheus_writes_it(void **state)
{
    (void)state;
    char *text = print(EXPOSITION_TEXT);
    assert_has(
        text, "# HELP weir_requests_total Requests \"all\"\\nof C:\\\\.\n# TYPE weir_requests_total counter\n"
              "weir_requests_total{class=\"2xx\",pool=\"a\\\"b\\\\c\\nd\"} 42\n");
    assert_has(text, "# TYPE weir_connections gauge\nweir_connections 2.5\n");
    assert_has(text, "weir_limit_bytes +Inf\n");
    assert_has(text, "weir_bytes_total 1e+15\n");
    assert_has(text, "weir_request_seconds_bucket{class=\"2xx\",le=\"0.0001\"} 1\n");
    assert_has(text, "weir_request_seconds_bucket{class=\"2xx\",le=\"0.001\"} 2\n");
    assert_has(text, "weir_request_seconds_bucket{class=\"2xx\",le=\"1\"} 3\n");
    assert_has(text, "weir_request_seconds_bucket{class=\"2xx\",le=\"1800\"} 3\n");
    assert_has(text, "weir_request_seconds_bucket{class=\"2xx\",le=\"+Inf\"} 4\n");
    assert_has(text, "weir_request_seconds_sum{class=\"2xx\"} 3001.000990\n");
    assert_has(text, "weir_request_seconds_count{class=\"2xx\"} 4\n");
    assert_null(strstr(text, "# EOF"));
    free(text);
}

static void openmetrics_names_families_without_total_and_ends_with_eof(void **state)
{
    (void)state;
    char *text = print(EXPOSITION_OPENMETRICS);
    assert_has(text, "# HELP weir_requests Requests \\\"all\\\"\\nof C:\\\\.\n# TYPE weir_requests counter\n"
                     "weir_requests_total{class=\"2xx\",pool=\"a\\\"b\\\\c\\nd\"} 42\n");
    assert_has(text, "le=\"1.0\"} 3\n");
    assert_has(text, "le=\"1800.0\"} 3\n");
    assert_string_equal(text + strlen(text) - 6, "# EOF\n");
    free(text);
}

#define IDLE_HISTOGRAMS 500u

static size_t resident_pages(const struct metric_shard *shard)
{
    size_t pages = 0, page_size = (size_t)sysconf(_SC_PAGESIZE);
    for (uint32_t i = 0; i < METRIC_CHUNKS_MAX; i++) {
        unsigned char is_there = 0;
        void *chunk = atomic_load(&shard->chunks[i]);
        if (!chunk) break;
        assert_int_equal(sizeof(struct metric_chunk), page_size);
        assert_int_equal(mincore(chunk, page_size, &is_there), 0);
        pages += is_there & 1;
    }
    return pages;
}

/* A histogram has four pages of cells in each worker's shard: with thousands of servers, looking at all of them takes seconds. */
static void histograms_without_observations_are_not_read(void **state)
{
    (void)state;
    struct metric_registry *reg;
    struct err err;
    size_t len;
    if (metric_registry_new(&reg, 2, 2 * IDLE_HISTOGRAMS, &err) < 0) fail_msg("%s", err.text);
    for (uint32_t i = 0; i < IDLE_HISTOGRAMS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "s%u", i);
        const struct metric_label label = { "server", name };
        uint32_t id = metric_histogram(reg, "weir_idle_seconds", "Idle.", &label, 1);
        if (i == 7) metric_observe(metric_shard_of(reg, 1), id, 0);
    }
    char *text = exposition_print(reg, EXPOSITION_TEXT, &len);
    assert_has(text, "weir_idle_seconds_bucket{server=\"s7\",le=\"0.0001\"} 1\n");
    assert_has(text, "weir_idle_seconds_count{server=\"s8\"} 0\n");
    assert_has(text, "weir_idle_seconds_sum{server=\"s8\"} 0.000000\n");
    for (uint32_t i = 0; i < 2; i++)
        assert_in_range(resident_pages(metric_shard_of(reg, i)), 1, IDLE_HISTOGRAMS + 8);
    free(text);
    metric_registry_free(reg);
}

/* Every sample belongs to the family announced last, with the ending that its kind asks for, and no family
 * comes twice: what OpenMetrics demands beyond the syntax. */
static void openmetrics_samples_stay_with_their_family(void **state)
{
    (void)state;
    char *text = print(EXPOSITION_OPENMETRICS), *rest = text, *line;
    char family[64] = "", kind[16] = "", seen[1024] = " ";
    while ((line = strsep(&rest, "\n")) && *line) {
        if (strcmp(line, "# EOF") == 0) {
            assert_string_equal(rest, "");
            break;
        }
        if (strncmp(line, "# HELP ", 7) == 0) continue;
        if (sscanf(line, "# TYPE %63s %15s", family, kind) == 2) {
            char key[80];
            snprintf(key, sizeof(key), " %s ", family);
            assert_null(strstr(seen, key));
            strcat(seen, key);
            continue;
        }
        assert_int_equal(strncmp(line, family, strlen(family)), 0);
        const char *ending = line + strlen(family);
        size_t len = strcspn(ending, "{ ");
        if (strcmp(kind, "counter") == 0)
            assert_int_equal(strncmp(ending, "_total", len), 0);
        else if (strcmp(kind, "gauge") == 0)
            assert_int_equal(len, 0);
        else
            assert_true(strncmp(ending, "_bucket", len) == 0 || strncmp(ending, "_sum", len) == 0 ||
                        strncmp(ending, "_count", len) == 0);
    }
    assert_non_null(line);
    free(text);
}

static void promtool_finds_nothing_to_say(void **state)
{
    (void)state;
    if (access(PROMTOOL, X_OK) != 0) skip();
    char *text = print(EXPOSITION_TEXT);
    FILE *promtool = popen(PROMTOOL " check metrics 2>&1", "w");
    assert_non_null(promtool);
    fputs(text, promtool);
    free(text);
    assert_int_equal(pclose(promtool), 0);
}

/* `promtool check metrics` knows only the text format, but promtool can make a database of OpenMetrics, and
 * for that reads them with Prometheus' own parser. It asks for a time on each sample. */
static void prometheus_reads_openmetrics(void **state)
{
    (void)state;
    if (access(PROMTOOL, X_OK) != 0) skip();
    char directory[] = "/tmp/weir-exposition-XXXXXX", path[64], command[256],
         *text = print(EXPOSITION_OPENMETRICS);
    assert_non_null(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/metrics", directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) && *line)
        fprintf(file, "%s%s\n", line, *line == '#' ? "" : " 1700000000");
    fclose(file);
    free(text);
    snprintf(command, sizeof(command), "%s tsdb create-blocks-from openmetrics %s %s/db >/dev/null", PROMTOOL,
             path, directory);
    int status = system(command);
    snprintf(command, sizeof(command), "rm -r %s", directory);
    assert_int_equal(system(command), 0);
    assert_int_equal(status, 0);
}

static void accept_chooses_the_format(void **state)
{
    (void)state;
    const struct {
        const char *accept;
        enum exposition_format format;
    } cases[] = {
        { "", EXPOSITION_TEXT },
        { "*/*", EXPOSITION_TEXT },
        { "text/html,application/xhtml+xml,*/*;q=0.8", EXPOSITION_TEXT },
        { "text/plain;version=0.0.4", EXPOSITION_TEXT },
        { "application/openmetrics-text", EXPOSITION_OPENMETRICS },
        { "Application/OpenMetrics-Text; Version=\"1.0.0\"", EXPOSITION_OPENMETRICS },
        { "application/openmetrics-text; version=\"1.0.0\"", EXPOSITION_OPENMETRICS },
        { "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
          "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
          EXPOSITION_OPENMETRICS },
        { "application/openmetrics-text;version=0.0.1,text/plain;version=0.0.4;q=0.5", EXPOSITION_TEXT },
        { "application/openmetrics-text;version=1.0.0;q=0.4,text/plain;q=0.5", EXPOSITION_TEXT },
        { "application/openmetrics-text;version=1.0.0;q=0", EXPOSITION_TEXT },
        { "application/openmetrics-text;q=nonsense", EXPOSITION_TEXT },
        { ";,;;q=,=", EXPOSITION_TEXT },
        /* As Prometheus asks that keeps native histograms. */
        { "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
          "application/openmetrics-text;version=1.0.0;q=0.8,application/"
          "openmetrics-text;version=0.0.1;q=0.75,"
          "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
          EXPOSITION_PROTOBUF },
        { "application/vnd.google.protobuf; proto=\"io.prometheus.client.MetricFamily\"; "
          "encoding=\"delimited\"",
          EXPOSITION_PROTOBUF },
        { "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=text",
          EXPOSITION_TEXT },
        { "application/vnd.google.protobuf;proto=another;encoding=delimited", EXPOSITION_TEXT },
        { "application/vnd.google.protobuf", EXPOSITION_TEXT },
        { "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0,"
          "text/plain",
          EXPOSITION_TEXT },
        { "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.3,"
          "application/openmetrics-text;q=0.4,text/plain;q=0.2",
          EXPOSITION_OPENMETRICS },
        { "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.3,"
          "application/openmetrics-text;q=0.2,text/plain;q=0.5",
          EXPOSITION_TEXT },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        if (exposition_choose(slice_of(cases[i].accept)) != cases[i].format) fail_msg("%s", cases[i].accept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_as_prometheus_writes_it),
        cmocka_unit_test(openmetrics_names_families_without_total_and_ends_with_eof),
        cmocka_unit_test(histograms_without_observations_are_not_read),
        cmocka_unit_test(openmetrics_samples_stay_with_their_family),
        cmocka_unit_test(promtool_finds_nothing_to_say),
        cmocka_unit_test(prometheus_reads_openmetrics),
        cmocka_unit_test(accept_chooses_the_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
