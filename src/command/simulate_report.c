#include "command/simulate_report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/json.h"
#include "command/simulate_plot.h"

static uint32_t find_server(const struct simulate_side *s, const char *name)
{
    for (uint32_t i = 0; i < s->set->count; i++)
        if (strcmp(s->set->servers[i]->name, name) == 0) return i;
    return UINT32_MAX;
}

static double share_of(const struct simulate_side *s, uint32_t i)
{
    if (i == UINT32_MAX || !s->result->requests) return 0;
    return 100.0 * (double)s->result->servers[i].requests / (double)s->result->requests;
}

static double busy_of(const struct simulate_side *s, uint32_t i, uint32_t slots)
{
    if (i == UINT32_MAX || !s->result->last_ns) return 0;
    return 100.0 * (double)s->result->servers[i].busy_ns / ((double)s->result->last_ns * slots);
}

static const double quantiles[] = { 0.5, 0.95, 0.99 };
static const char *const quantile_names[] = { "p50", "p95", "p99" };

/* Milliseconds. The histogram's last cell holds all that is longer: then it is that or more. */
static double quantile_ms(const uint64_t *cells, double q, bool *is_at_least)
{
    uint64_t us = histogram_quantile(cells, q), last_us = histogram_cell_low(HISTOGRAM_CELLS - 1);
    *is_at_least = us >= last_us;
    return (double)(*is_at_least ? last_us : us) / 1000;
}

static void print_quantile(const uint64_t *cells, double q)
{
    bool is_at_least;
    char text[32];
    double ms = quantile_ms(cells, q, &is_at_least);
    snprintf(text, sizeof(text), "%s%.2f", is_at_least ? ">= " : "", ms);
    printf(" %12s", text);
}

static void print_quantiles(const char *name, const uint64_t *before, const uint64_t *after)
{
    for (unsigned i = 0; i < 3; i++) {
        printf("%-9s %s, ms ", name, quantile_names[i]);
        print_quantile(before, quantiles[i]);
        print_quantile(after, quantiles[i]);
        putchar('\n');
    }
}

static void print_server(const struct simulate_side sides[2], const char *name, uint32_t slots)
{
    uint32_t at[2] = { find_server(&sides[0], name), find_server(&sides[1], name) };
    printf("%-24s %7.2f %7.2f   %7.1f %7.1f   %7u %7u\n", name, share_of(&sides[0], at[0]),
           share_of(&sides[1], at[1]), busy_of(&sides[0], at[0], slots), busy_of(&sides[1], at[1], slots),
           at[0] == UINT32_MAX ? 0 : sides[0].result->servers[at[0]].outstanding_max,
           at[1] == UINT32_MAX ? 0 : sides[1].result->servers[at[1]].outstanding_max);
}

static double service_percent(const struct simulate_source *s)
{
    return s->log.recorded_us > 0 ? 100 * s->log.service_us / s->log.recorded_us : NAN;
}

void simulate_print_text(const struct simulate_source *s, const struct simulate_options *o, double moved)
{
    const struct simulate_side *sides = s->sides;
    const struct simulation_result *before = sides[0].result, *after = sides[1].result;
    printf("pool %s, %llu requests in %.1f s\n", sides[0].pool->name,
           (unsigned long long)before->requests + before->refused, (double)before->last_ns / 1e9);
    if (s->log.recorded_us > 0)
        printf("the log's times hold waits: %.1f %% of them is taken for service\n", service_percent(s));
    if (s->elsewhere)
        printf("%llu requests of the log go elsewhere by the routes\n", (unsigned long long)s->elsewhere);
    for (uint32_t i = 0; i < o->change_count; i++) printf("change: %s\n", o->changes[i]);
    printf("\n                           share, %%           busy, %%     most outstanding\n"
           "server                   before   after    before   after    before   after\n");
    for (uint32_t i = 0; i < sides[0].pool->roster->count; i++)
        print_server(sides, sides[0].pool->roster->places[i].server->name, o->slots);
    for (uint32_t i = 0; i < sides[1].pool->roster->count; i++)
        if (!pool_server_by_name(sides[0].pool, sides[1].pool->roster->places[i].server->name))
            print_server(sides, sides[1].pool->roster->places[i].server->name, o->slots);
    printf("\n                         before        after\n");
    printf("method           %13s %12s\n", sides[0].set->method->name, sides[1].set->method->name);
    print_quantiles("wait", before->wait, after->wait);
    print_quantiles("response", before->response, after->response);
    printf("queued         %15llu %12llu\n", (unsigned long long)before->queued,
           (unsigned long long)after->queued);
    printf("refused        %15llu %12llu\n", (unsigned long long)before->refused,
           (unsigned long long)after->refused);
    if (o->log)
        printf("failed         %15llu %12llu\n", (unsigned long long)before->failures,
               (unsigned long long)after->failures);
    if (!isnan(moved)) printf("keys that change their server: %.2f %%\n", 100 * moved);
}

static void json_quantiles(struct json *j, const char *name, const uint64_t *cells)
{
    bool is_at_least[3];
    json_key(j, name);
    json_object(j);
    for (unsigned i = 0; i < 3; i++) {
        json_key(j, quantile_names[i]);
        json_double(j, quantile_ms(cells, quantiles[i], &is_at_least[i]));
    }
    json_key(j, "at_least");
    json_array(j);
    for (unsigned i = 0; i < 3; i++)
        if (is_at_least[i]) json_string(j, quantile_names[i]);
    json_array_end(j);
    json_object_end(j);
}

static void json_side(struct json *j, const char *name, const struct simulate_side *s, uint32_t slots)
{
    json_key(j, name);
    json_object(j);
    json_key(j, "method");
    json_string(j, s->set->method->name);
    json_key(j, "requests");
    json_u64(j, s->result->requests);
    json_key(j, "refused");
    json_u64(j, s->result->refused);
    json_key(j, "queued");
    json_u64(j, s->result->queued);
    json_key(j, "failed");
    json_u64(j, s->result->failures);
    json_quantiles(j, "wait_ms", s->result->wait);
    json_quantiles(j, "response_ms", s->result->response);
    json_key(j, "servers");
    json_array(j);
    for (uint32_t i = 0; i < s->set->count; i++) {
        json_object(j);
        json_key(j, "name");
        json_string(j, s->set->servers[i]->name);
        json_key(j, "requests");
        json_u64(j, s->result->servers[i].requests);
        json_key(j, "failed");
        json_u64(j, s->result->servers[i].failures);
        json_key(j, "share_percent");
        json_double(j, share_of(s, i));
        json_key(j, "busy_percent");
        json_double(j, busy_of(s, i, slots));
        json_key(j, "outstanding_max");
        json_u64(j, s->result->servers[i].outstanding_max);
        json_object_end(j);
    }
    json_array_end(j);
    json_object_end(j);
}

int simulate_print_json(const struct simulate_source *s, const struct simulate_options *o, double moved)
{
    const struct simulate_side *sides = s->sides;
    struct json j;
    json_init(&j, 16u << 20, true);
    json_object(&j);
    json_key(&j, "pool");
    json_string(&j, sides[0].pool->name);
    json_key(&j, "changes");
    json_array(&j);
    for (uint32_t i = 0; i < o->change_count; i++) json_string(&j, o->changes[i]);
    json_array_end(&j);
    json_key(&j, "remapped_share");
    json_double(&j, moved);
    json_key(&j, "service_percent");
    json_double(&j, service_percent(s));
    json_key(&j, "elsewhere");
    json_u64(&j, s->elsewhere);
    json_side(&j, "before", &sides[0], o->slots);
    json_side(&j, "after", &sides[1], o->slots);
    json_object_end(&j);
    bool is_whole = !j.is_failed && fwrite(j.data, 1, j.len, stdout) == j.len && fputc('\n', stdout) != EOF;
    json_fini(&j);
    return is_whole ? EX_OK : EX_IOERR;
}

int simulate_plot(const struct simulate_source *s, const struct simulate_options *o)
{
    const struct simulate_side *sides = s->sides;
    struct simulate_bar *bars = calloc((size_t)sides[0].set->count + sides[1].set->count + 1, sizeof(*bars));
    uint32_t count = 0;
    if (!bars) return EX_OSERR;
    for (uint32_t i = 0; i < sides[0].set->count; i++) {
        const char *name = sides[0].set->servers[i]->name;
        bars[count++] = (struct simulate_bar){ name, share_of(&sides[0], i),
                                               share_of(&sides[1], find_server(&sides[1], name)) };
    }
    for (uint32_t i = 0; i < sides[1].set->count; i++) {
        const char *name = sides[1].set->servers[i]->name;
        if (find_server(&sides[0], name) == UINT32_MAX)
            bars[count++] = (struct simulate_bar){ name, 0, share_of(&sides[1], i) };
    }
    struct simulate_plot p = { sides[0].pool->name, bars, count, sides[0].result->wait,
                               sides[1].result->wait };
    struct err err;
    int result = simulate_plot_write(&p, o->plot, &err);
    free(bars);
    if (result == 0) return EX_OK;
    fprintf(stderr, "weir simulate: %s\n", err.text);
    return EX_CANTCREAT;
}
