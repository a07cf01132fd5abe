#define XXH_INLINE_ALL
#include <xxhash.h>

#include "main/simulate.h"

#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "balance/simulation.h"
#include "base/json.h"
#include "logs/entry_value.h"
#include "main/config.h"
#include "main/logs_file.h"
#include "main/simulate_plot.h"
#include "proxy/proxy.h"

#define CHANGES_MAX 64u
#define SLOW_MAX 64u
#define REQUESTS_MAX 100000000u
#define KEYS_MAX (1u << 20)
#define SERVICE_PRESET_MS 10.0
#define SECOND_NS UINT64_C(1000000000)

struct simulate_options {
    const char *config, *pool, *log, *format, *plot;
    const char *changes[CHANGES_MAX], *slow[SLOW_MAX];
    uint32_t change_count, slow_count, slots, workers;
    double rps, seconds, service_ms;
    uint64_t seed;
    bool is_json;
};

static int fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int fault(const char *format, ...)
{
    va_list args;
    fputs("weir simulate: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return EX_USAGE;
}

/* one side: before, or after the change */

struct side {
    struct config *config;
    struct proxy *proxy;
    struct pool *pool;
    const struct peer_set *set;
    struct balance_peer **peers;
    double *speeds;
    struct simulation *simulation;
    const struct simulation_result *result;
};

static void side_close(struct side *s)
{
    simulation_free(s->simulation);
    free(s->peers);
    free(s->speeds);
    proxy_free(s->proxy);
    config_free(s->config);
}

static int find_pool(struct side *s, const struct simulate_options *o)
{
    const struct proxy *p = s->proxy;
    s->pool = o->pool ? proxy_pool_by_name(p, o->pool) : p->pools[0];
    if (!s->pool) return fault("there is no pool \"%s\" in %s", o->pool, o->config);
    if (!o->pool && p->pool_count > 1) {
        fault("%s has several pools; say which one with --pool", o->config);
        for (uint32_t i = 0; i < p->pool_count; i++) fprintf(stderr, "  --pool %s\n", p->pools[i]->name);
        return EX_USAGE;
    }
    return EX_OK;
}

/* "big=2x": half as fast. */
static int set_speeds(struct side *s, const struct simulate_options *o)
{
    for (uint32_t i = 0; i < s->set->count; i++) s->speeds[i] = 1;
    for (uint32_t k = 0; k < o->slow_count; k++) {
        const char *equals = strrchr(o->slow[k], '=');
        char *end = NULL;
        double factor = equals ? strtod(equals + 1, &end) : 0;
        bool is_good = equals && factor > 0 && factor < 1e6 && (!*end || strcmp(end, "x") == 0);
        bool is_found = false;
        if (!is_good) return fault("--slow %s is no server with a factor; write server=2x", o->slow[k]);
        struct slice name = { o->slow[k], (size_t)(equals - o->slow[k]) };
        for (uint32_t i = 0; i < s->set->count; i++) {
            if (!slice_equal(slice_of(s->set->servers[i]->name), name)) continue;
            s->speeds[i] = 1 / factor;
            is_found = true;
        }
        if (!is_found && s->pool->roster->count == s->set->count)
            return fault("--slow %s: pool \"%s\" has no such server", o->slow[k], s->pool->name);
    }
    return EX_OK;
}

static int side_open(struct side *s, const struct simulate_options *o, uint32_t change_count)
{
    struct err err = { "" };
    char *faults = NULL;
    if (config_load_changed(&s->config, o->config, o->changes, change_count, &faults, &err) < 0) {
        fprintf(stderr, "%s%s", faults ? faults : "", faults ? "" : "weir simulate: ");
        if (!faults) fprintf(stderr, "%s\n", err.text);
        free(faults);
        return EX_CONFIG;
    }
    if (proxy_new_detached(&s->proxy, &s->config->proxy, &err) < 0) {
        fault("%s", err.text);
        return EX_SOFTWARE;
    }
    int code = find_pool(s, o);
    if (code != EX_OK) return code;
    s->set = s->pool->current;
    if (!s->set->count) return fault("pool \"%s\" has no server that can be used", s->pool->name);
    s->peers = calloc(s->set->count, sizeof(*s->peers));
    s->speeds = calloc(s->set->count, sizeof(*s->speeds));
    if (!s->peers || !s->speeds) return EX_OSERR;
    for (uint32_t i = 0; i < s->set->count; i++) s->peers[i] = &s->set->servers[i]->peer;
    if ((code = set_speeds(s, o)) != EX_OK) return code;
    struct simulation_conf conf = { .method = s->set->method,
                                    .table = s->set->table,
                                    .peers = s->peers,
                                    .speeds = s->speeds,
                                    .count = s->set->count,
                                    .slots = o->slots,
                                    .worker_count = o->workers,
                                    .seed = o->seed };
    if (simulation_new(&s->simulation, &conf, &err) == 0) return EX_OK;
    fault("%s", err.text);
    return EX_OSERR;
}

/* keys: whose server changes */

struct keys {
    uint64_t *hashes; /* open hash; 0: free */
    uint32_t count;
    bool is_full;
};

static void note_key(struct keys *k, uint64_t hash)
{
    if (!hash) hash = 1;
    uint64_t at = hash & (2 * KEYS_MAX - 1);
    while (k->hashes[at] && k->hashes[at] != hash) at = (at + 1) & (2 * KEYS_MAX - 1);
    if (k->hashes[at]) return;
    k->is_full = k->count == KEYS_MAX;
    if (k->is_full) return;
    k->hashes[at] = hash;
    k->count++;
}

static const struct server *home_of(const struct side *s, uint64_t hash, struct rng *rng)
{
    struct balance_choice choice = { .peer = BALANCE_NONE };
    struct balance b = { s->set->method, s->set->table, NULL };
    struct balance_query q = {
        .peers = s->set->peers, .peer_count = s->set->count, .hash = hash, .rng = rng
    };
    balance_pick(&b, &q, &choice);
    return choice.peer == BALANCE_NONE ? NULL : s->set->servers[choice.peer];
}

/* With nobody busy: where each key belongs, before and after. NaN where a method has no keys. */
static double remapped(const struct side sides[2], const struct keys *k)
{
    struct rng rng;
    uint32_t moved = 0;
    rng_seed(&rng, 1);
    if (!sides[0].set->method->has_key || !sides[1].set->method->has_key || !k->count) return NAN;
    for (uint32_t i = 0; i < 2 * KEYS_MAX; i++) {
        if (!k->hashes[i]) continue;
        const struct server *before = home_of(&sides[0], k->hashes[i], &rng);
        const struct server *after = home_of(&sides[1], k->hashes[i], &rng);
        moved += !before || !after || strcmp(before->name, after->name) != 0;
    }
    return (double)moved / k->count;
}

/* requests */

struct source {
    const struct simulate_options *options;
    struct side *sides;
    struct keys *keys;
    struct rng rng;
    uint64_t requests, second_s, in_second, first_s, skipped;
    /* Of one second of the log: spread evenly over it once it is known how many they are. */
    struct held {
        uint64_t hash, service_ns;
    } * held;
    uint64_t held_room;
    bool is_out_of_memory;
};

static double uniform(struct rng *rng)
{
    return ((double)(rng_next(rng) >> 11) + 1) / 9007199254740993.0;
}

static uint64_t drawn_service_ns(struct source *s)
{
    double ms = s->options->service_ms > 0 ? s->options->service_ms : SERVICE_PRESET_MS;
    return (uint64_t)(-log(uniform(&s->rng)) * ms * 1e6);
}

static void give(struct source *s, uint64_t at_ns, uint64_t hash, uint64_t service_ns)
{
    s->requests++;
    note_key(s->keys, hash);
    struct simulation_request r = { .at_ns = at_ns, .hash = hash, .service_ns = service_ns };
    for (int i = 0; i < 2; i++) simulation_add(s->sides[i].simulation, &r);
}

static void flush_second(struct source *s)
{
    for (uint64_t i = 0; i < s->in_second; i++) {
        uint64_t at_ns = (s->second_s - s->first_s) * SECOND_NS + SECOND_NS / s->in_second * i;
        give(s, at_ns, s->held[i].hash, s->held[i].service_ns);
    }
    s->in_second = 0;
}

/* The key as the proxy would have it, from what the log tells: client, path, host, query argument, header. */
static uint64_t key_of(const struct source *s, const struct log_entry *e)
{
    struct http_field fields[3];
    uint32_t count = 0;
    const struct pool *p = s->sides[0].pool;
    const struct http_template *key = balance_method_key(p->roster->conf->balance.option->object,
                                                         p->roster->conf->balance.conf);
    static const struct {
        enum log_field field;
        const char *name;
    } known[] = { { LOG_AGENT, "user-agent" }, { LOG_REFERER, "referer" }, { LOG_XFF, "x-forwarded-for" } };
    for (unsigned i = 0; i < 3; i++) {
        struct slice v = e->values[known[i].field];
        if (!v.len || slice_equal(v, SLICE("-"))) continue;
        fields[count++] = (struct http_field){ .name = known[i].name,
                                               .name_len = (uint16_t)strlen(known[i].name),
                                               .value = v.data,
                                               .value_len = (uint32_t)v.len,
                                               .id = (uint8_t)http_field_id_of(slice_of(known[i].name)) };
    }
    struct http_head head = { .fields = fields,
                              .field_count = count,
                              .target = e->values[LOG_TARGET],
                              .authority = e->values[LOG_HOST],
                              .method_text = e->method };
    struct http_template_input in = { .head = &head, .client = &e->client };
    return key ? balance_key_hash(key, &in) : XXH3_64bits(e->client.bytes, sizeof(e->client.bytes));
}

static void on_entry(void *context, const struct log_entry *e)
{
    struct source *s = context;
    if (!e->time_s || s->is_out_of_memory) {
        s->skipped++;
        return;
    }
    if (!s->first_s) s->first_s = s->second_s = e->time_s;
    if (e->time_s > s->second_s) {
        flush_second(s);
        s->second_s = e->time_s;
    }
    if (s->in_second == s->held_room) {
        uint64_t room = s->held_room ? 2 * s->held_room : 4096;
        struct held *more = realloc(s->held, room * sizeof(*more));
        if (more) {
            s->held = more;
            s->held_room = room;
        }
        if (!more || room > REQUESTS_MAX) {
            s->is_out_of_memory = true;
            return;
        }
    }
    uint64_t us = e->upstream_us != UINT64_MAX ? e->upstream_us : e->request_us;
    uint64_t service_ns = us == UINT64_MAX || s->options->service_ms > 0 ? drawn_service_ns(s) : us * 1000;
    s->held[s->in_second++] = (struct held){ key_of(s, e), service_ns };
}

static void on_malformed(void *context, struct slice line)
{
    (void)line;
    ((struct source *)context)->skipped++;
}

static int replay(struct source *s)
{
    struct log_format *format = malloc(sizeof(*format));
    struct err err = { "" };
    struct logs_job job = {
        .format = format, .to_s = UINT64_MAX, .on_entry = on_entry, .on_malformed = on_malformed, .context = s
    };
    const char *name = s->options->format ? s->options->format : "auto";
    int result = format ? log_format_parse(format, name, &err) : err_set(&err, "out of memory");
    if (result == 0) result = logs_file_read(&job, s->options->log, &err);
    if (result == 0) flush_second(s);
    free(s->held);
    free(format);
    if (result < 0 || s->is_out_of_memory) {
        fault("%s",
              result < 0 ? err.text : "one second of the log has more requests than there is memory for");
        return EX_DATAERR;
    }
    if (!s->requests) return fault("%s has no record with a time", s->options->log);
    return EX_OK;
}

/* Poisson arrivals of a hundred thousand keys. */
static void make_requests(struct source *s)
{
    double now_ns = 0, gap_ns = 1e9 / s->options->rps, end_ns = s->options->seconds * 1e9;
    while ((now_ns += -log(uniform(&s->rng)) * gap_ns) < end_ns) {
        uint32_t key = rng_below(&s->rng, 100000);
        give(s, (uint64_t)now_ns, XXH3_64bits(&key, sizeof(key)), drawn_service_ns(s));
    }
}

/* printing */

static uint32_t find_server(const struct side *s, const char *name)
{
    for (uint32_t i = 0; i < s->set->count; i++)
        if (strcmp(s->set->servers[i]->name, name) == 0) return i;
    return UINT32_MAX;
}

static double share_of(const struct side *s, uint32_t i)
{
    if (i == UINT32_MAX || !s->result->requests) return 0;
    return 100.0 * (double)s->result->servers[i].requests / (double)s->result->requests;
}

static double busy_of(const struct side *s, uint32_t i, uint32_t slots)
{
    if (i == UINT32_MAX || !s->result->last_ns) return 0;
    return 100.0 * (double)s->result->servers[i].busy_ns / ((double)s->result->last_ns * slots);
}

static void print_quantiles(const char *name, const uint64_t *before, const uint64_t *after)
{
    static const double qs[] = { 0.5, 0.95, 0.99 };
    static const char *const labels[] = { "p50", "p95", "p99" };
    for (unsigned i = 0; i < 3; i++)
        printf("%-9s %s, ms  %12.2f %12.2f\n", name, labels[i],
               (double)histogram_quantile(before, qs[i]) / 1000,
               (double)histogram_quantile(after, qs[i]) / 1000);
}

static void print_server(const struct side sides[2], const char *name, uint32_t slots)
{
    uint32_t at[2] = { find_server(&sides[0], name), find_server(&sides[1], name) };
    printf("%-24s %7.2f %7.2f   %7.1f %7.1f   %7u %7u\n", name, share_of(&sides[0], at[0]),
           share_of(&sides[1], at[1]), busy_of(&sides[0], at[0], slots), busy_of(&sides[1], at[1], slots),
           at[0] == UINT32_MAX ? 0 : sides[0].result->servers[at[0]].outstanding_max,
           at[1] == UINT32_MAX ? 0 : sides[1].result->servers[at[1]].outstanding_max);
}

static void print_text(const struct side sides[2], const struct simulate_options *o, double moved)
{
    const struct simulation_result *before = sides[0].result, *after = sides[1].result;
    printf("pool %s, %llu requests in %.1f s\n", sides[0].pool->name,
           (unsigned long long)before->requests + before->refused, (double)before->last_ns / 1e9);
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
    if (!isnan(moved)) printf("keys that change their server: %.2f %%\n", 100 * moved);
}

static void json_quantiles(struct json *j, const char *name, const uint64_t *cells)
{
    json_key(j, name);
    json_object(j);
    json_key(j, "p50");
    json_double(j, (double)histogram_quantile(cells, 0.5) / 1000);
    json_key(j, "p95");
    json_double(j, (double)histogram_quantile(cells, 0.95) / 1000);
    json_key(j, "p99");
    json_double(j, (double)histogram_quantile(cells, 0.99) / 1000);
    json_object_end(j);
}

static void json_side(struct json *j, const char *name, const struct side *s, uint32_t slots)
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

static int print_json(const struct side sides[2], const struct simulate_options *o, double moved)
{
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
    json_side(&j, "before", &sides[0], o->slots);
    json_side(&j, "after", &sides[1], o->slots);
    json_object_end(&j);
    bool is_whole = !j.is_failed && fwrite(j.data, 1, j.len, stdout) == j.len && fputc('\n', stdout) != EOF;
    json_fini(&j);
    return is_whole ? EX_OK : EX_IOERR;
}

static int plot(const struct side sides[2], const struct simulate_options *o)
{
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
    fault("%s", err.text);
    return EX_CANTCREAT;
}

/* the whole */

static int run_sides(struct side sides[2], struct source *s)
{
    const struct simulate_options *o = s->options;
    int code = side_open(&sides[0], o, 0);
    if (code == EX_OK) code = side_open(&sides[1], o, o->change_count);
    if (code != EX_OK) return code;
    rng_seed(&s->rng, o->seed + 1);
    if (o->log)
        code = replay(s);
    else
        make_requests(s);
    for (int i = 0; i < 2 && code == EX_OK; i++) sides[i].result = simulation_end(sides[i].simulation);
    return code;
}

static int simulate(const struct simulate_options *o)
{
    struct side *sides = calloc(2, sizeof(*sides));
    struct keys keys = { .hashes = calloc(2 * KEYS_MAX, sizeof(*keys.hashes)) };
    struct source s = { .options = o, .sides = sides, .keys = &keys };
    int code = EX_OSERR;
    if (sides && keys.hashes) code = run_sides(sides, &s);
    if (code == EX_OK) {
        double moved = remapped(sides, &keys);
        if (o->is_json)
            code = print_json(sides, o, moved);
        else
            print_text(sides, o, moved);
        if (s.skipped)
            fprintf(stderr, "weir simulate: %llu lines have no time or are no records\n",
                    (unsigned long long)s.skipped);
        if (code == EX_OK && o->plot) code = plot(sides, o);
    }
    if (sides) {
        side_close(&sides[0]);
        side_close(&sides[1]);
    }
    free(sides);
    free(keys.hashes);
    return code;
}

/* options */

static int parse_number(const char *option, const char *text, double min, double max, double *out)
{
    char *end = NULL;
    *out = strtod(text, &end);
    if (*text && !*end && *out >= min && *out <= max) return EX_OK;
    return fault("%s %s is no number from %g to %g", option, text, min, max);
}

static int check_options(const struct simulate_options *o)
{
    if (!o->config) return fault("give the configuration with -c FILE\nTry: weir simulate --help");
    if (!o->log && o->rps <= 0)
        return fault("give requests: --log FILE, or --rps N\nTry: weir simulate --help");
    if (o->log && o->rps > 0) return fault("--log and --rps exclude each other");
    if (o->rps * o->seconds > REQUESTS_MAX) return fault("that is more than %u requests", REQUESTS_MAX);
    return EX_OK;
}

static const char help[] =
    "Usage: weir simulate -c FILE [--pool NAME] (--log ACCESS.LOG | --rps N) [--change PATH=VALUE]...\n\n"
    "Sends requests through the pool's balance method, before and after the changes, on a virtual clock, "
    "with a queue\n"
    "in the place of each server, and shows shares, load and waits side by side.\n\n"
    "  -c, --config FILE     the configuration\n"
    "      --pool NAME       the pool, if there are several\n"
    "      --log FILE        requests of an nginx access log, - for standard input; with --format as in "
    "`weir logs`\n"
    "      --rps N           or made ones: so many a second (Poisson), for --seconds S (10)\n"
    "      --service-ms M    how long a server takes, on average (exponential); without it the log's own "
    "times,\n"
    "                        10 ms where it has none\n"
    "      --slots N         how many requests a server serves at a time (8)\n"
    "      --slow SERVER=2x  takes twice as long\n"
    "      --workers N       how many workers choose (1)\n"
    "      --seed N          another run of chance (1)\n"
    "      --change CHANGE   like 'pools.web.servers[1].weight=0' or 'pools.web.balance=random'\n"
    "      --json            as JSON\n"
    "      --plot FILE.svg   a picture as well\n";

int simulate_command(int argc, char **argv)
{
    static const struct option options[] = {
        { "config", required_argument, NULL, 'c' },
        { "pool", required_argument, NULL, 'p' },
        { "log", required_argument, NULL, 'l' },
        { "format", required_argument, NULL, 'f' },
        { "rps", required_argument, NULL, 'r' },
        { "seconds", required_argument, NULL, 's' },
        { "service-ms", required_argument, NULL, 'm' },
        { "slots", required_argument, NULL, 'n' },
        { "slow", required_argument, NULL, 'S' },
        { "workers", required_argument, NULL, 'w' },
        { "seed", required_argument, NULL, 'e' },
        { "change", required_argument, NULL, 'C' },
        { "json", no_argument, NULL, 'j' },
        { "plot", required_argument, NULL, 'P' },
        { "help", no_argument, NULL, 'h' },
        { 0 },
    };
    struct simulate_options o = { .slots = 8, .workers = 1, .seconds = 10, .seed = 1 };
    double number = 0;
    int option, code = EX_OK;
    while (code == EX_OK && (option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (option) {
        case 'c': o.config = optarg; break;
        case 'p': o.pool = optarg; break;
        case 'l': o.log = optarg; break;
        case 'f': o.format = optarg; break;
        case 'r': code = parse_number("--rps", optarg, 0.001, 1e8, &o.rps); break;
        case 's': code = parse_number("--seconds", optarg, 0.001, 1e7, &o.seconds); break;
        case 'm': code = parse_number("--service-ms", optarg, 0.000001, 1e7, &o.service_ms); break;
        case 'n':
            code = parse_number("--slots", optarg, 1, 100000, &number);
            o.slots = (uint32_t)number;
            break;
        case 'w':
            code = parse_number("--workers", optarg, 1, SIMULATION_WORKERS_MAX, &number);
            o.workers = (uint32_t)number;
            break;
        case 'e':
            code = parse_number("--seed", optarg, 0, 9e15, &number);
            o.seed = (uint64_t)number;
            break;
        case 'S':
            if (o.slow_count == SLOW_MAX) return fault("--slow more than %u times", SLOW_MAX);
            o.slow[o.slow_count++] = optarg;
            break;
        case 'C':
            if (o.change_count == CHANGES_MAX) return fault("--change more than %u times", CHANGES_MAX);
            o.changes[o.change_count++] = optarg;
            break;
        case 'j': o.is_json = true; break;
        case 'P': o.plot = optarg; break;
        case 'h': fputs(help, stdout); return EX_OK;
        default: fputs("Try: weir simulate --help\n", stderr); return EX_USAGE;
        }
    }
    if (code == EX_OK && optind < argc) code = fault("what is \"%s\"?", argv[optind]);
    if (code == EX_OK) code = check_options(&o);
    return code == EX_OK ? simulate(&o) : code;
}
