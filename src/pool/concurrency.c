#include "pool/concurrency.h"

#include <math.h>

#include "base/bug.h"
#include "conf/decode.h"

/* Fewer answers say too little of how long they take. */
#define SAMPLES_LEAST 10u
#define GRADIENT_LEAST 0.5
/* So much of the way the limit goes in a window. */
#define STEP 0.3
/* In the first window of a probe those end that came before. */
#define PROBE_WINDOWS 2u
#define PROBE_PART 4

static double bounded(double limit, const struct concurrency_conf *conf)
{
    return fmin(fmax(limit, conf->least), conf->most);
}

static bool is_loaded(const struct concurrency_state *c, const struct concurrency_window *w)
{
    return w->in_flight * 2.0 >= c->limit;
}

/* Who has his answer and goes on, with a long body or as a tunnel, keeps his place, however few are let in: a limit below these would
 * let nobody in, and without answers it would stay there. So it sinks no further than to them and the least that may wait. */
static double lowest(const struct concurrency_state *c, const struct concurrency_conf *conf,
                     const struct concurrency_window *w)
{
    return fmin(bounded(c->limit, conf), fmax(w->in_flight - w->waiting, 0) + conf->least);
}

/* With few at a time it shows again how long an answer takes; where there are few anyway it shows now. */
static void look_at_baseline(struct concurrency_state *c, const struct concurrency_conf *conf,
                             const struct concurrency_window *w)
{
    if (w->mean_us < c->baseline_us) c->baseline_us += (w->mean_us - c->baseline_us) / 4;
    if (w->now_ms < c->probe_at_ms) return;
    if (is_loaded(c, w)) {
        c->limit_before = c->limit;
        c->limit = fmax(bounded(c->limit / PROBE_PART, conf), lowest(c, conf, w));
        c->probe_windows = PROBE_WINDOWS;
    } else {
        c->baseline_us = w->mean_us;
        c->probe_at_ms = w->now_ms + conf->probe_ms;
    }
}

static void end_probe(struct concurrency_state *c, const struct concurrency_conf *conf,
                      const struct concurrency_window *w)
{
    if (--c->probe_windows) return;
    c->baseline_us = w->mean_us;
    c->limit = bounded(c->limit_before, conf);
    c->probe_at_ms = w->now_ms + conf->probe_ms;
}

static void follow_gradient(struct concurrency_state *c, const struct concurrency_conf *conf,
                            const struct concurrency_window *w)
{
    double gradient = c->baseline_us * conf->tolerance / 100 / w->mean_us;
    gradient = fmin(fmax(gradient, GRADIENT_LEAST), 1);
    /* Room for a few who wait there: else a server that is done has nothing to go on with. */
    double target = c->limit * gradient + sqrt(c->limit);
    if (target > c->limit && !is_loaded(c, w)) return; /* more than is asked for says nothing */
    c->limit = fmax(bounded(c->limit + (target - c->limit) * STEP, conf), lowest(c, conf, w));
}

uint32_t concurrency_step(struct concurrency_state *c, const struct concurrency_conf *conf,
                          const struct concurrency_window *w)
{
    if (c->limit == 0) c->limit = bounded(conf->start, conf);
    if (c->baseline_us == 0) {
        c->baseline_us = w->mean_us;
        c->probe_at_ms = w->now_ms + conf->probe_ms;
    }
    if (c->probe_windows) {
        end_probe(c, conf, w);
    } else {
        look_at_baseline(c, conf, w);
        if (!c->probe_windows) follow_gradient(c, conf, w);
    }
    return (uint32_t)lround(c->limit);
}

static bool try_enter(struct concurrency *c)
{
    return !atomic_exchange_explicit(&c->is_busy, true, memory_order_acquire);
}

static void leave(struct concurrency *c)
{
    atomic_store_explicit(&c->is_busy, false, memory_order_release);
}

static uint32_t lesser_cap(uint32_t found, uint32_t configured)
{
    return configured && configured < found ? configured : found;
}

void concurrency_set(struct concurrency *c, const struct concurrency_conf *conf, struct balance_peer *peer,
                     uint32_t configured)
{
    uint32_t cap = configured;
    while (!try_enter(c)) {} /* whoever ends a window does so in less than a microsecond */
    if (conf) {
        if (!c->is_on) c->state = (struct concurrency_state){ 0 };
        uint32_t found = c->is_on ? atomic_load_explicit(&peer->cap, memory_order_relaxed) : conf->start;
        cap = lesser_cap((uint32_t)bounded(found, conf), configured);
    }
    c->is_on = conf != NULL;
    c->configured = configured;
    atomic_store(&peer->cap, cap);
    leave(c);
}

/* The window is his who has entered. */
static uint32_t end_window(struct concurrency *c, const struct concurrency_conf *conf,
                           struct balance_peer *peer, uint64_t now_ms)
{
    /* Before the next window's first answer can come: by its time these would have waited all at once. */
    uint64_t first_ms = atomic_load_explicit(&c->first_ms, memory_order_relaxed);
    uint32_t samples = atomic_exchange_explicit(&c->samples, 0, memory_order_release);
    uint64_t sum_us = atomic_exchange_explicit(&c->sum_us, 0, memory_order_relaxed);
    atomic_store_explicit(&c->window_from_ms, now_ms, memory_order_relaxed);
    /* Somebody else may have ended it a moment ago: then this one is too short. Or a configuration has come by which nothing is
     * found out any more, which this worker has yet to hear of. */
    if (samples < SAMPLES_LEAST || !c->is_on) return 0;
    uint32_t in_flight = atomic_load_explicit(&peer->in_flight, memory_order_relaxed);
    double took_us = now_ms > first_ms ? (double)(now_ms - first_ms) * 1000 : 1000;
    /* Little's law: what they have waited together, by the time in which they did. */
    const struct concurrency_window w = { now_ms, (double)sum_us / samples, (double)sum_us / took_us,
                                          in_flight };
    uint32_t cap = lesser_cap(concurrency_step(&c->state, conf, &w), c->configured);
    if (bug_if(SERVER, !cap)) return 0; /* that would be no cap */
    uint32_t before = atomic_exchange(&peer->cap, cap);
    return cap > before ? cap - before : 0;
}

uint32_t concurrency_observe(struct concurrency *c, const struct concurrency_conf *conf,
                             struct balance_peer *peer, uint64_t took_us, uint64_t now_ms)
{
    uint64_t from_ms = atomic_load_explicit(&c->window_from_ms, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->sum_us, took_us ? took_us : 1, memory_order_relaxed);
    uint32_t samples = atomic_fetch_add_explicit(&c->samples, 1, memory_order_acquire) + 1;
    if (samples == 1) atomic_store_explicit(&c->first_ms, now_ms, memory_order_relaxed);
    if (samples < SAMPLES_LEAST || now_ms < from_ms + conf->window_ms || !try_enter(c)) return 0;
    uint32_t more = end_window(c, conf, peer, now_ms);
    leave(c);
    return more;
}

/* configuration */

static void check(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct concurrency_conf *c = object;
    if (c->least > c->most)
        conf_decode_fault(d, node, "least", "make it smaller, or `most` larger",
                          "least is %u, and most is %u", c->least, c->most);
    else if (c->start < c->least || c->start > c->most)
        conf_decode_fault(d, node, "start", "write a number between the two",
                          "start is %u, which is not between least, %u, and most, %u", c->start, c->least,
                          c->most);
}

static const struct conf_field adaptive_fields[] = {
    { "start", CONF_U32(struct concurrency_conf, start), .min = 1, .max = 100000, .preset = "20",
      .help = "How many requests may be at a server at a time, at first." },
    { "least", CONF_U32(struct concurrency_conf, least), .min = 1, .max = 100000, .preset = "4",
      .help = "Never fewer." },
    { "most", CONF_U32(struct concurrency_conf, most), .min = 1, .max = 100000, .preset = "1000",
      .help = "Never more; nor more than the server's `max_requests`." },
    { "tolerance", CONF_U32(struct concurrency_conf, tolerance), .min = 100, .max = 1000, .preset = "150",
      .help = "How much longer than with few at a time an answer may take, in percent of that, before there "
              "are fewer." },
    { "window", CONF_MSEC(struct concurrency_conf, window_ms), .min = 10, .max = 60000, .preset = "200ms",
      .help = "How often it is looked, if at least ten answers have come by then." },
    { "probe", CONF_MSEC(struct concurrency_conf, probe_ms), .min = 1000, .max = 3600000, .preset = "30s",
      .help = "How often a server that is busy is given few for two windows, to see anew how long an answer "
              "takes then." },
    { 0 },
};

static const struct conf_type adaptive_type = { .name = "adaptive concurrency",
                                                .size = sizeof(struct concurrency_conf),
                                                .fields = adaptive_fields,
                                                .check = check };

static const struct conf_field concurrency_fields[] = {
    { "adaptive", CONF_OPTIONAL(struct pool_concurrency_conf, adaptive, &adaptive_type),
      .help = "How many requests may be at each server at a time is found out from how long its answers "
              "take; `{}` "
              "will do. Requests over it wait in the pool's queue. For HTTP." },
    { 0 },
};

const struct conf_type pool_concurrency_type = { .name = "concurrency",
                                                 .size = sizeof(struct pool_concurrency_conf),
                                                 .fields = concurrency_fields };
