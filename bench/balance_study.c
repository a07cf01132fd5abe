/* What the balancing methods guarantee and cost, as JSON for bench/balance_plots.py: shares against
 * weights, keys that move, evenness of tables, fullest bins, the bias of `%`, and what a lookup costs. What
 * is counted comes from fixed seeds and is the same in every run; what is timed is of this machine. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "balance/hash.h"
#include "balance/simulation.h"
#include "base/clock.h"
#include "lookup.h"
#include "variants.h"

#define PICKS 1000000u
#define LOAD_REQUESTS 100000u
#define SERVERS_MAX 1024u
#define ROUNDS 7
#define ROUND_NS UINT64_C(4000000)

static struct stand stand;

static uint32_t pick(uint64_t hash, uint64_t now_ns)
{
    struct balance_choice choice;
    struct balance_query q = {
        .peers = stand.peers, .peer_count = stand.count, .hash = hash, .now_ns = now_ns, .rng = &stand.rng
    };
    balance_pick(&stand.balance, &q, &choice);
    return choice.peer;
}

static void set_weights(uint32_t modulo)
{
    for (uint32_t i = 0; i < stand.capacity; i++) stand.weights[i] = modulo ? 1 + i * 7 % modulo : 1;
}

/* JSON: each section is a list of flat objects. */

static const char *between = "";

static void section_begin(const char *name)
{
    printf("%s\"%s\": [", between, name);
    between = "";
}

static void section_end(void)
{
    printf("\n]");
    between = ",\n";
    fflush(stdout);
}

#define ROW(...) (printf("%s\n  {", between), printf(__VA_ARGS__), printf("}"), between = ",")

/* The chance that counts differ so much from the shares, if the shares are what they are drawn by
 * (chi-square, by Wilson and Hilferty). */
static double p_value(const uint64_t *seen, const uint32_t *shares, uint32_t count)
{
    double all = 0, sum = 0, chi2 = 0, freedom = count - 1.0;
    for (uint32_t i = 0; i < count; i++) all += (double)seen[i], sum += shares[i];
    for (uint32_t i = 0; i < count; i++) {
        double expected = all * shares[i] / sum;
        chi2 += ((double)seen[i] - expected) * ((double)seen[i] - expected) / expected;
    }
    double spread = 2 / (9 * freedom), z = (cbrt(chi2 / freedom) - (1 - spread)) / sqrt(spread);
    return erfc(z / sqrt(2)) / 2;
}

/* How far the one farthest from its share is off, as a part of that share. */
static double farthest_off(const uint64_t *seen, const uint32_t *shares, uint32_t count)
{
    double all = 0, sum = 0, farthest = 0;
    for (uint32_t i = 0; i < count; i++) all += (double)seen[i], sum += shares[i];
    for (uint32_t i = 0; i < count; i++)
        farthest = fmax(farthest, fabs((double)seen[i] * sum / (all * shares[i]) - 1));
    return farthest;
}

/* (a) Requests of equal length, as many under way as ten times the weights: with the counters that the
 * methods go by. */
static double share_p(const struct variant *v, uint32_t count, double *off)
{
    static uint64_t seen[SERVERS_MAX];
    static uint32_t leases[SERVERS_MAX * 100];
    uint32_t room = 0;
    stand_build(&stand, v->method, v->conf, count);
    stand_unload(&stand);
    memset(seen, 0, sizeof(seen));
    for (uint32_t i = 0; i < count; i++) room += stand.weights[i] * 10;
    for (uint64_t i = 0; i < PICKS; i++) {
        if (i >= room) {
            atomic_fetch_sub(&stand.lines[leases[i % room]].in_flight, 1);
            atomic_fetch_sub(&stand.lines[leases[i % room]].open_connections, 1);
        }
        uint32_t peer = leases[i % room] = pick(hash_mix(i), i * 1000);
        atomic_fetch_add(&stand.lines[peer].in_flight, 1);
        atomic_fetch_add(&stand.lines[peer].open_connections, 1);
        seen[peer]++;
    }
    *off = farthest_off(seen, stand.weights, count);
    return p_value(seen, stand.weights, count);
}

/* Requests that come by chance (Poisson) and take 10 ms on average (exponential), to two servers with weights of 9 and
 * 1 that have as many slots as they need, from four workers: the share of the lighter. */
static double light_share(const struct variant *v, double rps)
{
    static const double speeds[] = { 1, 1 };
    struct balance_peer *peers[] = { &stand.lines[0], &stand.lines[1] };
    struct simulation *s;
    struct rng rng;
    struct err err;
    double now_ns = 0;
    stand.weights[0] = 9, stand.weights[1] = 1;
    stand_build(&stand, v->method, v->conf, 2);
    stand_unload(&stand);
    struct simulation_conf conf = { .method = stand.balance.method,
                                    .table = stand.table,
                                    .peers = peers,
                                    .speeds = speeds,
                                    .count = 2,
                                    .slots = 256,
                                    .worker_count = 4,
                                    .seed = 1 };
    if (simulation_new(&s, &conf, &err) < 0) exit(1);
    rng_seed(&rng, 7);
    for (uint32_t i = 0; i < LOAD_REQUESTS; i++) {
        now_ns -= log(((double)(rng_next(&rng) >> 11) + 1) * 0x1p-53) * 1e9 / rps;
        double unit = ((double)(rng_next(&rng) >> 11) + 1) * 0x1p-53;
        struct simulation_request r = { .at_ns = (uint64_t)now_ns,
                                        .hash = rng_next(&rng),
                                        .service_ns = (uint64_t)(-log(unit) * 1e7) };
        simulation_add(s, &r);
    }
    const struct simulation_result *result = simulation_end(s);
    double share = (double)result->servers[1].requests / (double)result->requests;
    simulation_free(s);
    return share;
}

static void study_loads(void)
{
    static const double rates[] = { 1, 10, 100, 300, 1000, 3000, 10000 };
    section_begin("loads");
    for (const struct variant *v = variants; v->label; v++)
        for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++)
            ROW("\"method\": \"%s\", \"rps\": %.0f, \"share\": %.6f", v->label, rates[i],
                light_share(v, rates[i]));
    section_end();
}

static void study_shares(void)
{
    section_begin("shares");
    for (const struct variant *v = variants; v->label; v++) {
        double off[3];
        set_weights(0);
        double equal = share_p(v, 10, &off[0]);
        set_weights(9);
        double uneven = share_p(v, 10, &off[1]), many = share_p(v, 100, &off[2]);
        ROW("\"method\": \"%s\", \"p\": [%.4f, %.4f, %.4f], \"off\": [%.5f, %.5f, %.5f]", v->label, equal,
            uneven, many, off[0], off[1], off[2]);
    }
    section_end();
}

/* (b) */

static const struct {
    const char *name;
    struct hash_conf conf;
} tables[] = {
    { "maglev", { .table = HASH_MAGLEV, .size = HASH_SIZE } },
    { "ring", { .table = HASH_RING, .replicas = HASH_REPLICAS } },
    { "rendezvous", { .table = HASH_RENDEZVOUS } },
    { "mod", { .table = HASH_MOD } },
};
#define TABLES (sizeof(tables) / sizeof(*tables))

static uint16_t before[PICKS];

/* The share of the keys that moved from `count` servers to one more, and of those that need not have. */
static void print_moved(size_t table, uint32_t count, uint32_t more, const char *change)
{
    uint32_t moved = 0, needless = 0;
    stand_unload(&stand);
    stand_build(&stand, "hash", &tables[table].conf, count);
    for (uint32_t i = 0; i < PICKS; i++) before[i] = (uint16_t)pick(hash_mix(i), 0);
    stand_build(&stand, "hash", &tables[table].conf, more);
    for (uint32_t i = 0; i < PICKS; i++) {
        uint32_t now = pick(hash_mix(i), 0);
        moved += now != before[i];
        needless += now != before[i] && now < count && before[i] < more;
    }
    ROW("\"table\": \"%s\", \"servers\": %u, \"change\": \"%s\", \"moved\": %.6f, \"needless\": %.6f, "
        "\"least\": %.6f",
        tables[table].name, count, change, moved / (double)PICKS, needless / (double)PICKS,
        1.0 / (count > more ? count : more));
}

static void study_remap(void)
{
    static const uint32_t counts[] = { 10, 50, 100 };
    set_weights(0);
    section_begin("remap");
    for (size_t i = 0; i < TABLES * 3; i++) {
        print_moved(i / 3, counts[i % 3], counts[i % 3] - 1, "leaves");
        print_moved(i / 3, counts[i % 3], counts[i % 3] + 1, "joins");
    }
    section_end();
}

/* (c) By `keys` hashes at the same distance: one in the middle of each place, or enough for a ring's arcs. */
static void print_evenness(const char *name, const struct hash_conf *conf, uint32_t size, uint32_t keys)
{
    const uint32_t count = 100;
    uint64_t seen[SERVERS_MAX] = { 0 }, most = 0, distance = UINT64_MAX / keys;
    stand_unload(&stand);
    double build_ns = (double)stand_build(&stand, "hash", conf, count);
    for (uint32_t i = 0; i < keys; i++) seen[pick(i * distance + distance / 2, 0)]++;
    for (uint32_t i = 0; i < count; i++) most = seen[i] > most ? seen[i] : most;
    ROW("\"table\": \"%s\", \"size\": %u, \"servers\": %u, \"max_over_mean\": %.5f, \"bytes\": %zu, "
        "\"build_ms\": %.3f",
        name, size, count, (double)most * count / keys, stand.balance.method->table_bytes(stand.table),
        build_ns / 1e6);
}

static void study_evenness(void)
{
    static const uint32_t sizes[] = { 1009, 4099, 10007, 65537, 262147, 655373 };
    static const uint32_t replicas[] = { 10, 40, 160, 640, 1000 };
    set_weights(0);
    section_begin("evenness");
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        const struct hash_conf conf = { .table = HASH_MAGLEV, .size = sizes[i] };
        print_evenness("maglev", &conf, sizes[i], sizes[i]);
    }
    for (size_t i = 0; i < sizeof(replicas) / sizeof(*replicas); i++) {
        const struct hash_conf conf = { .table = HASH_RING, .replicas = replicas[i] };
        print_evenness("ring", &conf, replicas[i], 8 * PICKS);
    }
    section_end();
}

/* What a pick costs, the least of several rounds: everything else on the machine only adds. */

static double pick_ns(uint32_t times)
{
    uint32_t sink = 0;
    uint64_t start = clock_now_ns();
    for (uint32_t i = 0; i < times; i++) sink += pick(i * UINT64_C(0x9e3779b97f4a7c15), start);
    uint64_t took_ns = clock_now_ns() - start;
    return sink == 1 ? 0 : (double)took_ns;
}

static double best_pick_ns(void)
{
    double best = INFINITY;
    uint32_t times = 64;
    while (pick_ns(times) < (double)ROUND_NS / 2) times *= 2;
    for (int round = 0; round < ROUNDS; round++) best = fmin(best, pick_ns(times) / times);
    return best;
}

static void study_picks(void)
{
    static const uint32_t counts[] = { 2, 4, 10, 25, 64, 250, 1000 };
    section_begin("picks");
    set_weights(10);
    for (const struct variant *v = variants; v->label; v++) {
        for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
            double build_ns = (double)stand_build(&stand, v->method, v->conf, counts[i]);
            stand_load(&stand, clock_now_ns());
            const struct balance_method *m = stand.balance.method;
            ROW("\"method\": \"%s\", \"servers\": %u, \"ns\": %.1f, \"bytes\": %zu, \"worker_bytes\": %zu, "
                "\"build_ms\": %.3f",
                v->label, counts[i], best_pick_ns(), m->table_bytes(stand.table),
                m->state_size + counts[i] * m->state_size_per_peer, build_ns / 1e6);
        }
    }
    section_end();
}

static void study_maglev(void)
{
    static const uint32_t sizes[] = { 251, 1009, 4099, 16411, 65537, 262147, 1048583, 5000011 };
    section_begin("maglev");
    set_weights(0);
    stand_load(&stand, clock_now_ns());
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        const struct hash_conf conf = { .table = HASH_MAGLEV, .size = sizes[i] };
        double build_ns = (double)stand_build(&stand, "hash", &conf, 100);
        ROW("\"size\": %u, \"ns\": %.1f, \"bytes\": %zu, \"build_ms\": %.3f", sizes[i], best_pick_ns(),
            stand.balance.method->table_bytes(stand.table), build_ns / 1e6);
    }
    section_end();
}

/* (d) A hash table of 64-bit keys. */
static void study_lookup(void)
{
    static const double empty[] = { 0.1, 0.25, 0.5, 0.75, 0.9, 0.95 };
    section_begin("lookup");
    for (uint32_t bits = 10; bits <= 24; bits += 2) {
        for (size_t i = 0; i < sizeof(empty) / sizeof(*empty); i++) {
            struct lookup_cost cost;
            lookup_measure(UINT32_C(1) << bits, empty[i], &cost);
            ROW("\"length\": %u, \"empty\": %.2f, \"entries\": %u, \"bytes\": %zu, \"hit_ns\": %.2f, "
                "\"miss_ns\": %.2f, \"hit_probes\": %.3f",
                UINT32_C(1) << bits, empty[i], cost.entries, cost.bytes, cost.hit_ns, cost.miss_ns,
                cost.hit_probes);
        }
    }
    section_end();
}

/* (e) n balls into n bins, each into the emptiest of d drawn. */
static uint32_t fullest_bin(uint8_t *bins, uint32_t n, uint32_t d)
{
    uint32_t most = 0;
    memset(bins, 0, n);
    for (uint32_t ball = 0; ball < n; ball++) {
        uint32_t best = rng_below(&stand.rng, n);
        for (uint32_t i = 1; i < d; i++) {
            uint32_t other = rng_below(&stand.rng, n);
            if (bins[other] < bins[best]) best = other;
        }
        bins[best]++;
        if (bins[best] > most) most = bins[best];
    }
    return most;
}

static void study_balls(void)
{
    uint8_t *bins = malloc(UINT32_C(1) << 20);
    if (!bins) exit(1);
    section_begin("balls");
    rng_seed(&stand.rng, 5);
    for (uint32_t bits = 4; bits <= 20; bits += 2) {
        for (uint32_t d = 1; d <= 3; d++) {
            uint32_t runs = bits < 14 ? 200 : 20, sum = 0;
            for (uint32_t i = 0; i < runs; i++) sum += fullest_bin(bins, UINT32_C(1) << bits, d);
            ROW("\"bins\": %u, \"choices\": %u, \"fullest\": %.2f", UINT32_C(1) << bits, d,
                (double)sum / runs);
        }
    }
    section_end();
    free(bins);
}

/* (f) rand() has 15 bits at least, by the standard. */
static void study_modulo(void)
{
    static const uint32_t bounds[] = { 10, 100, 1000, 10000 };
    static uint64_t remainder[10000], lemire[10000];
    static uint32_t even[10000];
    section_begin("modulo");
    rng_seed(&stand.rng, 6);
    for (uint32_t i = 0; i < 10000; i++) even[i] = 1;
    for (size_t i = 0; i < sizeof(bounds) / sizeof(*bounds); i++) {
        uint32_t n = bounds[i], whole = 32768 / n;
        memset(remainder, 0, sizeof(remainder));
        memset(lemire, 0, sizeof(lemire));
        for (uint32_t draw = 0; draw < 10 * PICKS; draw++) {
            remainder[(rng_next(&stand.rng) >> 49) % n]++;
            lemire[rng_below(&stand.rng, n)]++;
        }
        ROW("\"bound\": %u, \"excess\": %.5f, \"remainder_p\": %.4f, \"lemire_p\": %.4f", n, 1.0 / whole,
            p_value(remainder, even, n), p_value(lemire, even, n));
    }
    section_end();
}

int main(void)
{
    stand_init(&stand, SERVERS_MAX);
    printf("{");
    study_shares();
    study_loads();
    study_remap();
    study_evenness();
    study_picks();
    study_maglev();
    study_lookup();
    study_balls();
    study_modulo();
    printf("\n}\n");
    stand_fini(&stand);
    return 0;
}
