/* command/simulate_log.h: the requests of an access log as `weir simulate` plays them: when they came, how long a server takes for
 * each, and which servers fail. Streams: it holds the records of one second. One thread. */
#pragma once

#include <math.h>

#include "base/err.h"
#include "base/rng.h"
#include "logs/entry.h"

#define SIMULATE_SERVICE_PRESET_MS 10.0
#define SIMULATE_LOG_SERVERS_MAX 256u
#define SIMULATE_LOG_TIMES 256u

struct simulate_request {
    uint64_t at_ns, service_ns; /* at_ns: since the log's first second */
    uint64_t hashes[2];         /* of its key, before and after the change */
    bool is_failure;            /* wherever it goes */
    bool is_for[2];             /* likewise: whether it comes to the pool at all */
};

struct simulate_log_conf {
    const char *path, *format; /* format: NULL: guessed */
    uint64_t seed;
    double service_ms;     /* > 0: drawn with this mean, whatever the log says */
    uint32_t slots;        /* of a server */
    uint32_t server_count; /* among whom records are shared out that do not name theirs */
    void *context;
    /* Sets `hashes` and `is_for`. */
    void (*look)(void *context, const struct log_entry *e, struct simulate_request *r);
    /* Whether the simulation has a server of that address ($upstream_addr): then it is that server that fails. */
    bool (*has_server)(void *context, struct slice address);
    /* Of such a server, before the requests of each second: which part of its answers were 5xx of late. */
    void (*on_failing)(void *context, struct slice address, double part);
    void (*on_request)(void *context, const struct simulate_request *r);
};

/* What a log's server, or all that are not named, did of late. */
struct simulate_log_server {
    char address[64];
    uint8_t address_len;
    bool is_known;
    double records, failures; /* faded */
    double good, good_us;     /* likewise: answers that were no failures */
    double service_part;      /* of the recorded times */
    /* Of the latest good answers, in a ring; microseconds. */
    float times_us[SIMULATE_LOG_TIMES];
    uint64_t time_count;
};

struct simulate_log {
    struct simulate_log_conf conf;
    struct rng times, services;
    uint64_t requests, skipped, failures;
    double recorded_us, service_us; /* sums, of what the log tells */
    /* The second that is being read. */
    uint64_t first_s, second_s, flushed_s, held_count, held_room;
    struct simulate_held *held;
    double seconds;                      /* faded, as the servers' counts are */
    struct simulate_log_server *servers; /* the first: those not named, or beyond the room for names */
    uint32_t server_count;
    bool is_out_of_memory;
};

MUST_CHECK int simulate_log_init(struct simulate_log *l, const struct simulate_log_conf *conf,
                                 struct err *err);
void simulate_log_fini(struct simulate_log *l);
/* The whole file. */
MUST_CHECK int simulate_log_read(struct simulate_log *l, struct err *err);
/* One record, and the end: what reading the file comes to. */
void simulate_log_add(struct simulate_log *l, const struct log_entry *e);
void simulate_log_end(struct simulate_log *l);

/* Recorded times hold what requests waited at their server. Where so many were there on average: the part of that time which
 * was service, as a queue with `slots` slots would have it. */
double simulate_service_part(double in_flight, uint32_t slots);

/* Streams of chance by a run's seed: no seed's is another's. */
void simulate_seed(struct rng *rng, uint64_t seed, const char *stream);

/* Over 0 up to 1. */
static inline double simulate_uniform(struct rng *rng)
{
    return ((double)(rng_next(rng) >> 11) + 1) / 9007199254740993.0;
}

/* Exponential. */
static inline uint64_t simulate_drawn_ns(struct rng *rng, double mean_ms)
{
    return (uint64_t)(-log(simulate_uniform(rng)) * mean_ms * 1e6);
}
