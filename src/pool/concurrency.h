/* pool/concurrency.h: how many exchanges a server bears at a time, found out from how long its answers take
 * (`concurrency: {adaptive: …}`): more at a time make a server no quicker, once all that it has is at work; they only wait there
 * in place of the pool's queue, where they can be served in another order, refused in time, or go elsewhere.
 *
 * Once in a window the limit follows the gradient between how long an answer takes with few at a time and how long it takes now
 * (decision 0042). The arithmetic is pure; what is counted of a window belongs to the server, of all workers together. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "balance/balance.h"
#include "conf/field.h"

struct concurrency_conf {
    uint32_t start, least, most;
    uint32_t tolerance; /* percent */
    uint64_t window_ms, probe_ms;
};

/* `concurrency:` of a pool. */
struct pool_concurrency_conf {
    struct concurrency_conf *adaptive; /* NULL: as many as the servers' own caps let through */
};

extern const struct conf_type pool_concurrency_type;

/* What came in a window. */
struct concurrency_window {
    uint64_t now_ms;
    double mean_us;
    double waiting;     /* exchanges that had no answer yet, on average */
    uint32_t in_flight; /* now */
};

/* What is known of a server: of whoever ends a window. */
struct concurrency_state {
    double limit;        /* 0: none yet */
    double baseline_us;  /* how long an answer takes with few at a time; 0: not known */
    double limit_before; /* the probe */
    uint64_t probe_at_ms;
    uint32_t probe_windows; /* left of the probe; 0: there is none */
};

/* The window has ended: how many there may be at a time from now on. */
uint32_t concurrency_step(struct concurrency_state *c, const struct concurrency_conf *conf,
                          const struct concurrency_window *w);

/* A server's: who writes its peer.cap. Any thread. */
struct concurrency {
    _Atomic uint64_t sum_us, window_from_ms;
    _Atomic uint64_t first_ms; /* the window's first answer: before it there may have been a silence */
    _Atomic uint32_t samples;
    _Atomic bool is_busy; /* somebody ends a window, or sets it: what follows is his */
    bool is_on;
    uint32_t configured; /* never more than this; 0: no cap */
    struct concurrency_state state;
};

/* By another configuration: the cap is `configured`, or found out from where it is, if it was before. conf: NULL: it stands. */
void concurrency_set(struct concurrency *c, const struct concurrency_conf *conf, struct balance_peer *peer,
                     uint32_t configured);
/* An answer has begun, or has not come, after so long. Returns how many more exchanges there may be by what was found out. */
uint32_t concurrency_observe(struct concurrency *c, const struct concurrency_conf *conf,
                             struct balance_peer *peer, uint64_t took_us, uint64_t now_ms);
