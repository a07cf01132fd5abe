#include "logs/report.h"

#include <stdlib.h>
#include <string.h>

#include "base/printable.h"
#include "base/quantity.h"
#include "base/utf8.h"
#include "http/message.h"

#define TOP_MAX 1000u

void report_key(enum period_dimension d, struct slice key, struct text *out)
{
    char printed[INET6_ADDRSTRLEN];
    struct ip ip;
    if ((d != PERIOD_CLIENT && d != PERIOD_NETWORK) || key.len != sizeof(ip.bytes)) {
        text_add_slice(out, key);
        return;
    }
    memcpy(ip.bytes, key.data, sizeof(ip.bytes));
    text_add_slice(out, slice_of(ip_print(&ip, printed)));
    if (d == PERIOD_NETWORK) text_add_slice(out, ip_is_v4(&ip) ? SLICE("/24") : SLICE("/64"));
}

/* JSON */

static void number(struct json *out, const char *key, uint64_t value)
{
    json_key(out, key);
    json_u64(out, value);
}

static void quantile(struct json *out, const char *key, const uint64_t *cells, double q, double scale)
{
    json_key(out, key);
    json_double(out, (double)histogram_quantile(cells, q) / scale);
}

/* Quantiles are the middles of cells: at most 0.8 % off. */
static void histogram_json(struct json *out, const char *key, const uint64_t *cells, double scale)
{
    uint64_t count = histogram_count(cells);
    json_key(out, key);
    if (!count) {
        json_null(out);
        return;
    }
    json_object(out);
    number(out, "count", count);
    quantile(out, "p50", cells, 0.5, scale);
    quantile(out, "p90", cells, 0.9, scale);
    quantile(out, "p95", cells, 0.95, scale);
    quantile(out, "p99", cells, 0.99, scale);
    quantile(out, "p999", cells, 0.999, scale);
    json_key(out, "error");
    json_double(out, 0.008);
    json_object_end(out);
}

void report_top_json(const struct period *p, enum period_dimension d, uint32_t max, struct json *out)
{
    struct top_entry *entries = calloc(TOP_MAX, sizeof(*entries));
    uint32_t count = entries ? top_list(p->tops[d], entries, max < TOP_MAX ? max : TOP_MAX) : 0;
    json_array(out);
    for (uint32_t i = 0; i < count; i++) {
        char memory[512];
        struct text key = text_over(memory, sizeof(memory));
        report_key(d, entries[i].key, &key);
        json_object(out);
        json_key(out, "key");
        json_slice(out, text_slice(&key));
        number(out, "count", entries[i].count);
        number(out, "error", entries[i].error);
        json_key(out, "share");
        json_double(out, p->records ? (double)entries[i].count / (double)p->records : 0);
        json_object_end(out);
    }
    json_array_end(out);
    free(entries);
}

static void statuses_json(const struct period *p, struct json *out)
{
    json_key(out, "statuses");
    json_object(out);
    for (unsigned i = 0; i < PERIOD_STATUSES; i++) {
        char name[8];
        if (!p->statuses[i]) continue;
        struct text t = text_over(name, sizeof(name));
        if (i)
            text_add_u64(&t, i);
        else
            TEXT_LITERAL(&t, "none");
        number(out, text_cstr(&t), p->statuses[i]);
    }
    json_object_end(out);
    json_key(out, "methods");
    json_object(out);
    for (unsigned i = 0; i < PERIOD_METHODS; i++)
        if (p->methods[i]) number(out, http_method_name((enum http_method)i), p->methods[i]);
    json_object_end(out);
}

void report_json(const struct period *p, uint32_t top, struct json *out)
{
    json_object(out);
    number(out, "records", p->records);
    number(out, "bytes", p->bytes);
    number(out, "binary", p->binary);
    statuses_json(p, out);
    json_key(out, "clients");
    json_object(out);
    json_key(out, "value");
    json_double(out, distinct_count(p->clients));
    json_key(out, "error");
    json_double(out, distinct_error(p->clients));
    json_object_end(out);
    histogram_json(out, "request_ms", p->latency, 1000);
    histogram_json(out, "upstream_ms", p->upstream, 1000);
    histogram_json(out, "size_bytes", p->sizes, 1);
    json_key(out, "top");
    json_object(out);
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++) {
        json_key(out, period_dimension_name((enum period_dimension)d));
        report_top_json(p, (enum period_dimension)d, top, out);
    }
    json_object_end(out);
    json_object_end(out);
}

void report_malformed_json(const struct tally *t, struct json *out)
{
    struct tally_malformed m;
    tally_malformed(t, &m);
    json_object(out);
    number(out, "count", m.count);
    json_key(out, "samples");
    json_array(out);
    for (uint32_t i = 0; i < m.sample_count; i++) json_slice(out, m.samples[i]);
    json_array_end(out);
    json_object_end(out);
}

/* text */

static double percent(uint64_t part, uint64_t whole)
{
    return whole ? 100.0 * (double)part / (double)whole : 0;
}

static void statuses_text(const struct period *p, struct text *out)
{
    TEXT_LITERAL(out, "\nstatus          count      %\n");
    for (unsigned i = 0; i < PERIOD_STATUSES; i++) {
        if (!p->statuses[i]) continue;
        if (i)
            text_printf(out, "%-6u", i);
        else
            TEXT_LITERAL(out, "none  ");
        text_printf(out, " %14llu %6.2f\n", (unsigned long long)p->statuses[i],
                    percent(p->statuses[i], p->records));
    }
    TEXT_LITERAL(out, "\nmethod          count      %\n");
    for (unsigned i = 0; i < PERIOD_METHODS; i++)
        if (p->methods[i])
            text_printf(out, "%-8s %12llu %6.2f\n", http_method_name((enum http_method)i),
                        (unsigned long long)p->methods[i], percent(p->methods[i], p->records));
}

static void quantiles_text(const char *name, const uint64_t *cells, double scale, struct text *out)
{
    static const double qs[] = { 0.5, 0.9, 0.95, 0.99, 0.999 };
    if (!histogram_count(cells)) return;
    text_printf(out, "%-14s", name);
    for (unsigned i = 0; i < 5; i++)
        text_printf(out, " %12.1f", (double)histogram_quantile(cells, qs[i]) / scale);
    text_add_char(out, '\n');
}

void report_printable(struct slice s, struct text *out)
{
    printable_add(out, s);
}

static void top_text(const struct period *p, enum period_dimension d, uint32_t max, struct text *out)
{
    struct top_entry *entries = calloc(TOP_MAX, sizeof(*entries));
    uint32_t count = entries ? top_list(p->tops[d], entries, max < TOP_MAX ? max : TOP_MAX) : 0;
    if (count) text_printf(out, "\n%-14s  count      %%\n", period_dimension_name(d));
    for (uint32_t i = 0; i < count; i++) {
        char memory[512];
        struct text key = text_over(memory, sizeof(memory));
        report_key(d, entries[i].key, &key);
        text_printf(out, "%21llu %6.2f  ", (unsigned long long)entries[i].count,
                    percent(entries[i].count, p->records));
        report_printable(text_slice(&key), out);
        if (entries[i].error)
            text_printf(out, "   (at most %llu too many)", (unsigned long long)entries[i].error);
        text_add_char(out, '\n');
    }
    free(entries);
}

void report_text(const struct period *p, uint32_t top, struct text *out)
{
    char bytes[32];
    quantity_print_bytes(p->bytes, bytes);
    text_printf(out, "%llu records, %llu bytes sent (%s), %.0f clients (± %.1f %%)\n",
                (unsigned long long)p->records, (unsigned long long)p->bytes, bytes,
                distinct_count(p->clients), 100 * distinct_error(p->clients));
    if (p->binary) text_printf(out, "%llu requests were no HTTP\n", (unsigned long long)p->binary);
    statuses_text(p, out);
    TEXT_LITERAL(out, "\n                        p50          p90          p95          p99        p99.9\n");
    quantiles_text("request ms", p->latency, 1000, out);
    quantiles_text("upstream ms", p->upstream, 1000, out);
    quantiles_text("bytes", p->sizes, 1, out);
    for (unsigned d = 0; d < PERIOD_DIMENSION_COUNT; d++) top_text(p, (enum period_dimension)d, top, out);
}
