/* What choosing a server costs: nanoseconds a pick, for each method at several sizes; alone, and while a
 * second thread writes the servers' lines as another worker would. Then the same full scan over lines of 64
 * bytes (as they are) and over packed counters. Best of several rounds, since everything else on the machine
 * only adds; rounds in which the second thread did not get to run do not count. Needs two cores. */
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "variants.h"

#define PEERS_MAX 1000u
#define ROUNDS 9
#define ROUND_NS UINT64_C(2000000)

static const uint32_t sizes[] = { 2, 10, 64, 1000 };
#define SIZES (sizeof(sizes) / sizeof(*sizes))

/* How often the second thread counts a request in and out: not at all, as a worker with 100,000 requests/s
 * does, without pause. */
enum pace { PACE_ALONE, PACE_WORKER, PACE_FULL };
#define WORKER_PAUSE_NS 10000

struct packed_line {
    _Atomic uint32_t in_flight, cap;
};

struct bench {
    struct stand stand;
    struct packed_line *packed;
    uint32_t count;
    bool is_packed; /* which of the two the second thread writes */
    enum pace pace;
    _Atomic bool is_over;
    _Atomic uint64_t written; /* requests that the second thread has counted in */
    uint32_t sink;
};

static void count_in_and_out(struct bench *b, uint32_t in, uint32_t out)
{
    _Atomic uint32_t *first = b->is_packed ? &b->packed[in].in_flight : &b->stand.lines[in].in_flight;
    _Atomic uint32_t *second = b->is_packed ? &b->packed[out].in_flight : &b->stand.lines[out].in_flight;
    atomic_fetch_add_explicit(first, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(second, 1, memory_order_relaxed);
}

static void stay_on(size_t core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof(set), &set) < 0) perror("bench-balance: sched_setaffinity");
}

static void *write_lines(void *argument)
{
    struct bench *b = argument;
    stay_on(0);
    struct rng rng;
    uint32_t held[16] = { 0 };
    rng_seed(&rng, 2);
    for (uint32_t i = 0; i < 16; i++)
        atomic_fetch_add(&b->stand.lines[0].in_flight, 1), atomic_fetch_add(&b->packed[0].in_flight, 1);
    for (uint32_t i = 0; !atomic_load_explicit(&b->is_over, memory_order_relaxed); i++) {
        uint32_t out = held[i % 16], in = rng_below(&rng, b->count);
        held[i % 16] = in;
        count_in_and_out(b, in, out);
        atomic_store_explicit(&b->written, i, memory_order_relaxed);
        if (b->pace == PACE_FULL) continue;
        uint64_t until = clock_now_ns() + WORKER_PAUSE_NS;
        while (clock_now_ns() < until) continue;
    }
    return NULL;
}

static uint64_t run_picks(struct bench *b, uint32_t times)
{
    struct balance_choice choice;
    struct balance_query q = {
        .peers = b->stand.peers, .peer_count = b->count, .rng = &b->stand.rng, .now_ns = clock_now_ns()
    };
    uint64_t start = clock_now_ns();
    for (uint32_t i = 0; i < times; i++) {
        q.hash = i * UINT64_C(0x9e3779b97f4a7c15);
        balance_pick(&b->stand.balance, &q, &choice);
        b->sink += choice.peer;
    }
    return clock_now_ns() - start;
}

/* The bare scan: what differs between the two is where the counters are. */
#define SCAN(name, line_of)                                                                          \
    static uint64_t name(struct bench *b, uint32_t times)                                            \
    {                                                                                                \
        uint64_t start = clock_now_ns();                                                             \
        for (uint32_t i = 0; i < times; i++) {                                                       \
            uint32_t best = 0, least = UINT32_MAX;                                                   \
            for (uint32_t j = 0; j < b->count; j++) {                                                \
                uint32_t load = atomic_load_explicit(&(line_of)[j].in_flight, memory_order_relaxed); \
                uint32_t cap = atomic_load_explicit(&(line_of)[j].cap, memory_order_relaxed);        \
                if ((cap && load >= cap) || load >= least) continue;                                 \
                best = j;                                                                            \
                least = load;                                                                        \
            }                                                                                        \
            b->sink += best;                                                                         \
        }                                                                                            \
        return clock_now_ns() - start;                                                               \
    }
SCAN(run_padded, b->stand.lines)
SCAN(run_packed, b->packed)

/* Whether the second thread ran all the time, by how much it has written. */
static bool had_company(const struct bench *b, uint64_t written, uint64_t took_ns)
{
    uint64_t each_ns = b->pace == PACE_WORKER ? WORKER_PAUSE_NS : 300;
    return b->pace == PACE_ALONE || written * each_ns * 10 > took_ns * 9;
}

static double best_of(struct bench *b, uint64_t (*run)(struct bench *, uint32_t))
{
    pthread_t thread;
    uint32_t times = 64;
    double best = INFINITY; /* no round counted: the cores were busy with something else */
    atomic_store(&b->is_over, false);
    if (b->pace != PACE_ALONE && pthread_create(&thread, NULL, write_lines, b)) exit(1);
    while (run(b, times) < ROUND_NS / 2) times *= 2;
    for (int round = 0, attempts = 0; round < ROUNDS && attempts < 20 * ROUNDS; attempts++) {
        uint64_t written = atomic_load(&b->written), took_ns = run(b, times);
        if (!had_company(b, atomic_load(&b->written) - written, took_ns)) continue;
        round++;
        if ((double)took_ns / times < best) best = (double)took_ns / times;
    }
    atomic_store(&b->is_over, true);
    if (b->pace != PACE_ALONE) pthread_join(thread, NULL);
    return best;
}

static void load_lines(struct bench *b)
{
    stand_load(&b->stand, clock_now_ns());
    for (uint32_t i = 0; i < PEERS_MAX; i++) {
        atomic_store(&b->packed[i].in_flight, atomic_load(&b->stand.lines[i].in_flight));
        atomic_store(&b->packed[i].cap, 0);
    }
}

static void measure_variant(struct bench *b, const struct variant *v, bool has_weights, bool is_idle)
{
    printf("%-24s %-6s %-5s", v->label, has_weights ? "1..10" : "equal", is_idle ? "idle" : "busy");
    for (size_t i = 0; i < SIZES * 3; i++) {
        b->count = sizes[i % SIZES];
        b->pace = (enum pace)(i / SIZES);
        b->is_packed = false;
        load_lines(b);
        if (is_idle) stand_unload(&b->stand);
        for (uint32_t j = 0; j < PEERS_MAX; j++) b->stand.weights[j] = has_weights ? 1 + j % 10 : 1;
        stand_build(&b->stand, v->method, v->conf, b->count);
        printf("%s%7.1f", i % SIZES ? "" : " |", best_of(b, run_picks));
        fflush(stdout);
    }
    printf("\n");
}

static void measure_scan(struct bench *b, bool is_packed)
{
    printf("%-37s", is_packed ? "scan, packed" : "scan, padded");
    for (size_t i = 0; i < SIZES * 3; i++) {
        b->count = sizes[i % SIZES];
        b->pace = (enum pace)(i / SIZES);
        b->is_packed = is_packed;
        load_lines(b);
        printf("%s%7.1f", i % SIZES ? "" : " |", best_of(b, is_packed ? run_packed : run_padded));
        fflush(stdout);
    }
    printf("\n");
}

/* What counting one request in and out costs, with the second thread doing the same. */
static uint64_t run_counting(struct bench *b, uint32_t times)
{
    uint32_t held[16] = { 0 };
    for (uint32_t i = 0; i < 16; i++) count_in_and_out(b, 0, 0);
    uint64_t start = clock_now_ns();
    for (uint32_t i = 0; i < times; i++) {
        uint32_t out = held[i % 16], in = rng_below(&b->stand.rng, b->count);
        held[i % 16] = in;
        count_in_and_out(b, in, out);
    }
    return clock_now_ns() - start;
}

static void measure_counting(struct bench *b, bool is_packed)
{
    printf("%-37s", is_packed ? "in and out, packed" : "in and out, padded");
    for (size_t i = 0; i < SIZES * 3; i++) {
        b->count = sizes[i % SIZES];
        b->pace = (enum pace)(i / SIZES);
        b->is_packed = is_packed;
        load_lines(b);
        printf("%s%7.1f", i % SIZES ? "" : " |", best_of(b, run_counting));
        fflush(stdout);
    }
    printf("\n");
}

int main(void)
{
    static struct bench b;
    stay_on(1);
    stand_init(&b.stand, PEERS_MAX);
    b.packed = aligned_alloc(64, (PEERS_MAX * sizeof(*b.packed) + 63) / 64 * 64);
    if (!b.packed) return 1;
    printf("ns a pick with 2, 10, 64 and 1000 servers\n");
    printf("%-24s %-6s %-5s | %-28s| %-28s| %s\n", "method", "weights", "load", "alone",
           "beside a worker (100,000/s)", "beside a thread that only writes");
    for (const struct variant *v = variants; v->label; v++) {
        bool is_least = strncmp(v->method, "least", 5) == 0;
        measure_variant(&b, v, false, false);
        if (is_least) measure_variant(&b, v, false, true);
        measure_variant(&b, v, true, false);
    }
    for (int is_packed = 0; is_packed < 2; is_packed++) {
        measure_scan(&b, is_packed);
        measure_counting(&b, is_packed);
    }
    stand_fini(&b.stand);
    free(b.packed);
    return b.sink == 1;
}
