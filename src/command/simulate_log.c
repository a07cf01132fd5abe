#define XXH_INLINE_ALL
#include <xxhash.h>

#include "command/simulate_log.h"

#include <stdlib.h>
#include <string.h>

#include "command/logs_file.h"
#include "logs/entry_value.h"

#define SECOND_NS UINT64_C(1000000000)
#define HELD_MAX UINT64_C(100000000)
/* After so many seconds half of what servers did is forgotten: load has its hours, and failures have theirs. */
#define HALF_LIFE_S 30.0
/* Fewer answers say nothing of how many were there at a time. */
#define GOOD_MIN 8.0
/* Where waits are a smaller part of the times than what is missing here, each request keeps its own. */
#define SELDOM_WAITED 0.95

/* Of one second: it is placed in it once it is known how many they are. */
struct simulate_held {
    struct simulate_request request;
    uint64_t us;     /* recorded; UINT64_MAX: not */
    uint32_t server; /* of simulate_log.servers */
    bool is_failure;
};

void simulate_seed(struct rng *rng, uint64_t seed, const char *stream)
{
    rng_seed(rng, XXH3_64bits_withSeed(stream, strlen(stream), seed));
}

/* Of M/M/c, by Sakasegawa's approximation (1977), which is exact for one slot: a load of `a` slots has
 * a + rho^sqrt(2 (c + 1)) / (1 - rho) requests there, rho being a / c. */
double simulate_service_part(double in_flight, uint32_t slots)
{
    double low = 0, high = slots, exponent = sqrt(2.0 * (slots + 1.0));
    if (!(in_flight > 1e-6)) return 1;
    if (high > in_flight) high = in_flight;
    for (int i = 0; i < 50; i++) {
        double a = (low + high) / 2, rho = a / slots;
        if (a + pow(rho, exponent) / (1 - rho) < in_flight)
            low = a;
        else
            high = a;
    }
    return low / in_flight;
}

int simulate_log_init(struct simulate_log *l, const struct simulate_log_conf *conf, struct err *err)
{
    *l = (struct simulate_log){ .conf = *conf, .server_count = 1 };
    simulate_seed(&l->times, conf->seed, "times");
    simulate_seed(&l->services, conf->seed, "services");
    l->servers = calloc(SIMULATE_LOG_SERVERS_MAX, sizeof(*l->servers));
    if (!l->servers) return err_set(err, "out of memory");
    l->servers[0].service_part = 1;
    return 0;
}

void simulate_log_fini(struct simulate_log *l)
{
    free(l->held);
    free(l->servers);
}

/* servers */

/* Of several attempts the last: it is the one whose answer was sent on. */
static struct slice last_address(struct slice list)
{
    size_t from = list.len;
    while (from && list.data[from - 1] != ' ' && list.data[from - 1] != ',') from--;
    return (struct slice){ list.data + from, list.len - from };
}

static uint32_t server_of(struct simulate_log *l, const struct log_entry *e)
{
    struct slice address = last_address(e->values[LOG_UPSTREAM]);
    if (!address.len || slice_equal(address, SLICE("-"))) return 0;
    for (uint32_t i = 1; i < l->server_count; i++) {
        const struct simulate_log_server *s = &l->servers[i];
        if (slice_equal((struct slice){ s->address, s->address_len }, address)) return i;
    }
    if (l->server_count == SIMULATE_LOG_SERVERS_MAX || address.len > sizeof(l->servers->address)) return 0;
    struct simulate_log_server *s = &l->servers[l->server_count];
    s->address_len = (uint8_t)address.len;
    s->service_part = 1;
    memcpy(s->address, address.data, address.len);
    s->is_known = l->conf.has_server(l->conf.context, address);
    return l->server_count++;
}

static void count_second(struct simulate_log *l)
{
    for (uint64_t i = 0; i < l->held_count; i++) {
        const struct simulate_held *h = &l->held[i];
        struct simulate_log_server *s = &l->servers[h->server];
        s->records++;
        s->failures += h->is_failure;
        if (h->is_failure || h->us == UINT64_MAX) continue;
        s->good++;
        s->good_us += (double)h->us;
        s->times_us[s->time_count++ % SIMULATE_LOG_TIMES] = (float)h->us;
    }
}

/* By Little's law: how many there were at a time is how many came in a second times how long each was there. */
static void judge_servers(struct simulate_log *l)
{
    for (uint32_t i = 0; i < l->server_count; i++) {
        struct simulate_log_server *s = &l->servers[i];
        double in_flight = s->good_us / 1e6 / l->seconds;
        if (!i) in_flight /= l->conf.server_count;
        s->service_part = s->good < GOOD_MIN ? 1 : simulate_service_part(in_flight, l->conf.slots);
        if (!s->is_known || !(s->records > 0)) continue;
        struct slice address = { s->address, s->address_len };
        l->conf.on_failing(l->conf.context, address, s->failures / s->records);
    }
}

static void fade(struct simulate_log *l, double passed_s)
{
    double kept = exp2(-passed_s / HALF_LIFE_S);
    l->seconds *= kept;
    for (uint32_t i = 0; i < l->server_count; i++) {
        struct simulate_log_server *s = &l->servers[i];
        s->records *= kept, s->failures *= kept, s->good *= kept, s->good_us *= kept;
    }
}

/* requests */

static double any_time_us(struct simulate_log *l, const struct simulate_log_server *s)
{
    uint64_t count = s->time_count < SIMULATE_LOG_TIMES ? s->time_count : SIMULATE_LOG_TIMES;
    return count ? (double)s->times_us[rng_below(&l->services, (uint32_t)count)] : -1;
}

/* A request that waited did so in the same queue as those before and behind it, so that the times that follow one
 * another are alike, and as service they would make bursts that there were not: then each takes any of its
 * server's latest. And how long a failure took says nothing of how long another server would take to answer. */
static uint64_t service_ns(struct simulate_log *l, struct simulate_log_server *s,
                           const struct simulate_held *h)
{
    double mean_ms = l->conf.service_ms > 0 ? l->conf.service_ms : SIMULATE_SERVICE_PRESET_MS;
    double us = h->us == UINT64_MAX ? -1 : (double)h->us;
    bool is_own = h->is_failure ? !s->is_known : s->service_part > SELDOM_WAITED;
    if (us >= 0 && !is_own) us = any_time_us(l, s);
    if (us < 0 || l->conf.service_ms > 0) return simulate_drawn_ns(&l->services, mean_ms);
    l->recorded_us += us;
    l->service_us += us * s->service_part;
    return (uint64_t)(us * s->service_part * 1000);
}

/* At random within their second, in order: of n that are left, the first comes as the least of n draws. Spread evenly
 * they would hardly ever meet, and wait half as long as real ones. */
static void flush_second(struct simulate_log *l)
{
    double left = 1;
    uint64_t passed_s = l->flushed_s ? l->second_s - l->flushed_s : 1;
    if (!l->held_count) return;
    fade(l, (double)passed_s);
    l->seconds += (double)passed_s;
    count_second(l);
    judge_servers(l);
    for (uint64_t i = 0; i < l->held_count; i++) {
        struct simulate_held *h = &l->held[i];
        struct simulate_log_server *s = &l->servers[h->server];
        left *= pow(simulate_uniform(&l->times), 1.0 / (double)(l->held_count - i));
        h->request.at_ns = (l->second_s - l->first_s) * SECOND_NS +
                           (uint64_t)((1 - left) * (double)SECOND_NS);
        h->request.service_ns = service_ns(l, s, h);
        h->request.is_failure = h->is_failure && !s->is_known;
        l->requests++;
        l->failures += h->is_failure;
        l->conf.on_request(l->conf.context, &h->request);
    }
    l->held_count = 0;
    l->flushed_s = l->second_s;
}

static bool make_second_room(struct simulate_log *l)
{
    if (l->held_count < l->held_room) return true;
    uint64_t room = l->held_room ? 2 * l->held_room : 4096;
    struct simulate_held *more = room > HELD_MAX ? NULL : realloc(l->held, room * sizeof(*more));
    l->is_out_of_memory = !more;
    if (!more) return false;
    l->held = more;
    l->held_room = room;
    return true;
}

void simulate_log_add(struct simulate_log *l, const struct log_entry *e)
{
    if (!e->time_s || l->is_out_of_memory) {
        l->skipped++;
        return;
    }
    if (!l->first_s) l->first_s = l->second_s = e->time_s;
    if (e->time_s > l->second_s) {
        flush_second(l);
        l->second_s = e->time_s;
    }
    if (!make_second_room(l)) return;
    uint32_t status = entry_last_status(e->values[LOG_UPSTREAM_STATUS]);
    struct simulate_held *h = &l->held[l->held_count++];
    *h = (struct simulate_held){ .us = e->upstream_us != UINT64_MAX ? e->upstream_us : e->request_us,
                                 .server = server_of(l, e),
                                 .is_failure = (status ? status : e->status) >= 500 };
    l->conf.look(l->conf.context, e, &h->request);
}

void simulate_log_end(struct simulate_log *l)
{
    flush_second(l);
}

static void on_entry(void *context, const struct log_entry *e)
{
    simulate_log_add(context, e);
}

static void on_skipped_line(void *context, struct slice line)
{
    (void)line;
    ((struct simulate_log *)context)->skipped++;
}

int simulate_log_read(struct simulate_log *l, struct err *err)
{
    struct log_format *format = malloc(sizeof(*format));
    struct logs_job job = { .format = format,
                            .to_s = UINT64_MAX,
                            .on_entry = on_entry,
                            .on_malformed = on_skipped_line,
                            .context = l };
    const char *name = l->conf.format ? l->conf.format : "auto";
    int result = format ? log_format_parse(format, name, err) : err_set(err, "out of memory");
    if (result == 0) result = logs_file_read(&job, l->conf.path, err);
    if (result == 0) simulate_log_end(l);
    if (result == 0 && l->is_out_of_memory)
        result = err_set(err, "one second of the log has more requests than there is memory for");
    if (result == 0 && !l->requests) result = err_set(err, "%s has no record with a time", l->conf.path);
    free(format);
    return result;
}
