#define XXH_INLINE_ALL
#include <xxhash.h>

#include "command/simulate.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "command/simulate_report.h"
#include "proxy/proxy_life.h"
#include "proxy/route_set.h"

#define REQUESTS_MAX 100000000u
#define KEYS_MAX (1u << 20)

#define ROW(member) .offset = offsetof(struct simulate_options, member)

static const struct option_row options[] = {
    { OPTION_TEXT, 'c', .name = "config", .argument = "FILE", ROW(config), .help = "the configuration" },
    { OPTION_TEXT, .name = "pool", .argument = "NAME", ROW(pool), .help = "the pool, if there are several" },
    { OPTION_TEXT, .name = "log", .argument = "FILE", ROW(log),
      .help = "requests of an nginx access log, - for standard input" },
    { OPTION_TEXT, .name = "log-format", .argument = "F", ROW(format),
      .help = "what it looks like, as in `weir logs`" },
    { OPTION_TEXT, .is_unlisted = true, .name = "format", .argument = "F",
      ROW(format), /* as it was called once */
      .help = "" },
    { OPTION_TEXT, .name = "listener", .argument = "NAME", ROW(listener),
      .help = "whose routes say which of them come to the pool; the first for HTTP if absent" },
    { OPTION_FLAG, .name = "no-routes", ROW(is_unrouted), .help = "all of them come to the pool" },
    { OPTION_DOUBLE, .name = "rps", .argument = "N", ROW(rps), .min = 0.001, .max = 1e8,
      .help = "or made ones: so many a second (Poisson)" },
    { OPTION_DOUBLE, .name = "seconds", .argument = "S", ROW(seconds), .min = 0.001, .max = 1e7,
      .help = "for so long (10)" },
    { OPTION_DOUBLE, .name = "service-ms", .argument = "M", ROW(service_ms), .min = 0.000001, .max = 1e7,
      .help = "how long a server takes, on average (exponential); without it the log's own times,\n"
              "10 ms where it has none" },
    { OPTION_U32, .name = "slots", .argument = "N", ROW(slots), .min = 1, .max = 100000,
      .help = "how many requests a server serves at a time (8)" },
    { OPTION_TEXTS, .name = "slow", .argument = "SERVER=2x", ROW(slow), .max = SIMULATE_SLOW_MAX,
      .count_at = offsetof(struct simulate_options, slow_count), .help = "takes twice as long" },
    { OPTION_U32, .name = "workers", .argument = "N", ROW(workers), .min = 1, .max = SIMULATION_WORKERS_MAX,
      .help = "how many workers choose (1)" },
    { OPTION_U64, .name = "seed", .argument = "N", ROW(seed), .max = 9e15,
      .help = "another run of chance (1)" },
    { OPTION_TEXTS, .name = "change", .argument = "CHANGE", ROW(changes), .max = SIMULATE_CHANGES_MAX,
      .count_at = offsetof(struct simulate_options, change_count),
      .help = "like 'pools.web.servers[1].weight=0' or 'pools.web.balance=random'" },
    { OPTION_FLAG, .name = "json", ROW(is_json), .help = "as JSON" },
    { OPTION_TEXT, .name = "plot", .argument = "FILE.svg", ROW(plot), .help = "a picture as well" },
    { 0 },
};

const struct syntax simulate_syntax = {
    .command = "simulate",
    .usage =
        "simulate -c FILE [--pool NAME] (--log ACCESS.LOG | --rps N) [--change PATH=VALUE]...\n\n"
        "Sends requests through the pool's balance method, before and after the changes, on a virtual clock, "
        "with a queue\n"
        "in the place of each server, and shows shares, load and waits side by side.\n",
    .options = options,
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

/* sides */

static void side_close(struct simulate_side *s)
{
    simulation_free(s->simulation);
    simulate_route_close(&s->route);
    free(s->peers);
    free(s->speeds);
    free(s->failures);
    proxy_free(s->proxy);
    config_free(s->config);
}

static int find_pool(struct simulate_side *s, const struct simulate_options *o)
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
static int set_speeds(struct simulate_side *s, const struct simulate_options *o)
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

static int side_open(struct simulate_side *s, const struct simulate_options *o, uint32_t change_count)
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
    s->failures = calloc(s->set->count, sizeof(*s->failures));
    if (!s->peers || !s->speeds || !s->failures) return EX_OSERR;
    for (uint32_t i = 0; i < s->set->count; i++) s->peers[i] = &s->set->servers[i]->peer;
    if ((code = set_speeds(s, o)) != EX_OK) return code;
    if (o->log && !o->is_unrouted && simulate_route_open(&s->route, s->proxy, s->pool, o->listener, &err) < 0)
        return fault("%s", err.text);
    s->route.pool = s->pool;
    struct rng picks;
    simulate_seed(&picks, o->seed, "picks");
    struct simulation_conf conf = { .method = s->set->method,
                                    .table = s->set->table,
                                    .peers = s->peers,
                                    .speeds = s->speeds,
                                    .failures = s->failures,
                                    .count = s->set->count,
                                    .slots = o->slots,
                                    .worker_count = o->workers,
                                    .seed = rng_next(&picks) };
    if (simulation_new(&s->simulation, &conf, &err) == 0) return EX_OK;
    fault("%s", err.text);
    return EX_OSERR;
}

/* keys: whose server changes */

struct simulate_keys {
    uint64_t *hashes; /* open hash; 0: free */
    uint32_t count;
    bool is_full;
};

static void note_key(struct simulate_keys *k, uint64_t hash)
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

static const struct server *home_of(const struct simulate_side *s, uint64_t hash, struct rng *rng)
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
static double remapped(const struct simulate_side sides[2], const struct simulate_keys *k)
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

static void give(struct simulate_source *s, const struct simulate_request *r)
{
    note_key(s->keys, r->hashes[0]);
    for (int i = 0; i < 2; i++) {
        struct simulation_request to = {
            .at_ns = r->at_ns, .hash = r->hashes[i], .service_ns = r->service_ns, .is_failure = r->is_failure
        };
        if (r->is_for[i]) simulation_add(s->sides[i].simulation, &to);
    }
}

static void on_look(void *context, const struct log_entry *e, struct simulate_request *r)
{
    const struct simulate_source *s = context;
    for (int i = 0; i < 2; i++) r->is_for[i] = simulate_route_takes(&s->sides[i].route, e, &r->hashes[i]);
}

static void on_request(void *context, const struct simulate_request *r)
{
    struct simulate_source *s = context;
    if (r->is_for[0] || r->is_for[1])
        give(s, r);
    else
        s->elsewhere++;
}

static bool has_server(void *context, struct slice address)
{
    const struct simulate_source *s = context;
    for (int side = 0; side < 2; side++)
        for (uint32_t i = 0; i < s->sides[side].set->count; i++)
            if (slice_equal(slice_of(s->sides[side].set->servers[i]->address_text), address)) return true;
    return false;
}

static void on_failing(void *context, struct slice address, double part)
{
    const struct simulate_source *s = context;
    for (int side = 0; side < 2; side++)
        for (uint32_t i = 0; i < s->sides[side].set->count; i++)
            if (slice_equal(slice_of(s->sides[side].set->servers[i]->address_text), address))
                s->sides[side].failures[i] = part;
}

static int replay(struct simulate_source *s)
{
    const struct simulate_options *o = s->options;
    struct err err = { "" };
    struct simulate_log_conf conf = { .path = o->log,
                                      .format = o->format,
                                      .seed = o->seed,
                                      .service_ms = o->service_ms,
                                      .slots = o->slots,
                                      .server_count = s->sides[0].set->count,
                                      .context = s,
                                      .look = on_look,
                                      .has_server = has_server,
                                      .on_failing = on_failing,
                                      .on_request = on_request };
    int result = simulate_log_init(&s->log, &conf, &err);
    if (result == 0) result = simulate_log_read(&s->log, &err);
    if (result == 0 && s->elsewhere == s->log.requests)
        result = err_set(&err,
                         "listener \"%s\" sends none of the log's requests to pool \"%s\": name another with "
                         "--listener, or leave out its routes with --no-routes",
                         s->sides[0].route.listener->listener->name, s->sides[0].pool->name);
    if (result == 0) return EX_OK;
    fault("%s", err.text);
    return EX_DATAERR;
}

/* Poisson arrivals of a hundred thousand keys. */
static void make_requests(struct simulate_source *s)
{
    const struct simulate_options *o = s->options;
    double service_ms = o->service_ms > 0 ? o->service_ms : SIMULATE_SERVICE_PRESET_MS;
    double now_ns = 0, gap_ns = 1e9 / o->rps, end_ns = o->seconds * 1e9;
    struct rng rng;
    simulate_seed(&rng, o->seed, "requests");
    while ((now_ns += -log(simulate_uniform(&rng)) * gap_ns) < end_ns) {
        uint32_t key = rng_below(&rng, 100000);
        uint64_t hash = XXH3_64bits(&key, sizeof(key));
        struct simulate_request r = { .at_ns = (uint64_t)now_ns,
                                      .hashes = { hash, hash },
                                      .service_ns = simulate_drawn_ns(&rng, service_ms),
                                      .is_for = { true, true } };
        give(s, &r);
    }
}

/* the whole */

static int run_sides(struct simulate_side sides[2], struct simulate_source *s)
{
    const struct simulate_options *o = s->options;
    int code = side_open(&sides[0], o, 0);
    if (code == EX_OK) code = side_open(&sides[1], o, o->change_count);
    if (code != EX_OK) return code;
    if (o->log)
        code = replay(s);
    else
        make_requests(s);
    for (int i = 0; i < 2 && code == EX_OK; i++) sides[i].result = simulation_end(sides[i].simulation);
    return code;
}

static int simulate(const struct simulate_options *o)
{
    struct simulate_side *sides = calloc(2, sizeof(*sides));
    struct simulate_keys keys = { .hashes = calloc(2 * KEYS_MAX, sizeof(*keys.hashes)) };
    struct simulate_source s = { .options = o, .sides = sides, .keys = &keys };
    int code = EX_OSERR;
    if (sides && keys.hashes) code = run_sides(sides, &s);
    if (code == EX_OK) {
        double moved = remapped(sides, &keys);
        if (o->is_json)
            code = simulate_print_json(&s, o, moved);
        else
            simulate_print_text(&s, o, moved);
        if (s.log.skipped)
            fprintf(stderr, "weir simulate: %llu lines have no time or are no records\n",
                    (unsigned long long)s.log.skipped);
        if (code == EX_OK && o->plot) code = simulate_plot(&s, o);
    }
    if (sides) {
        side_close(&sides[0]);
        side_close(&sides[1]);
    }
    simulate_log_fini(&s.log);
    free(sides);
    free(keys.hashes);
    return code;
}

/* options */

static int check_options(const struct simulate_options *o)
{
    if (!o->config) return options_fault(&simulate_syntax, "give the configuration with -c FILE");
    if (!o->log && o->rps <= 0)
        return options_fault(&simulate_syntax, "give requests: --log FILE, or --rps N");
    if (o->log && o->rps > 0) return fault("--log and --rps exclude each other");
    if (!o->log && (o->listener || o->is_unrouted))
        return fault("--listener and --no-routes are about a log's requests: give --log FILE");
    if (o->rps * o->seconds > REQUESTS_MAX) return fault("that is more than %u requests", REQUESTS_MAX);
    return EX_OK;
}

int simulate_command(int argc, char **argv)
{
    struct simulate_options o = { .slots = 8, .workers = 1, .seconds = 10, .seed = 1 };
    int code = options_parse(&simulate_syntax, argc, argv, &o, NULL);
    if (code == EX_OK) code = check_options(&o);
    if (code != EX_OK) return code < 0 ? EX_OK : code;
    return simulate(&o);
}
