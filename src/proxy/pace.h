/* proxy/pace.h: how far a client is behind the least rate that it has to keep, while it is waited for. It may be behind for as
 * long as it may pause, and what it moves makes up for time by the rate: whoever stops is noticed as before, whoever drips when the
 * debt has grown to that. Nothing is saved up. Pure. */
#pragma once

#include <stdint.h>

struct pace {
    uint64_t debt_us;
    uint64_t bytes; /* moved when it was looked at last */
};

/* Of the rate; so that two days of it can be reckoned in microseconds. */
#define PACE_RATE_MAX (64u << 20)

/* It was waited for for so long, and by now has moved that much in all. rate: bytes a second; 0: none is asked for. */
static inline void pace_took(struct pace *p, uint64_t waited_ms, uint64_t bytes, uint64_t rate)
{
    if (!rate || bytes < p->bytes) {
        *p = (struct pace){ .bytes = bytes };
        return;
    }
    uint64_t debt_us = p->debt_us + waited_ms * 1000, moved = bytes - p->bytes;
    p->bytes = bytes;
    /* More than it can owe, rather than more than can be reckoned with. */
    uint64_t paid_us = moved >= rate * 86400 * 2 ? UINT64_MAX : moved * 1000000 / rate;
    p->debt_us = debt_us > paid_us ? debt_us - paid_us : 0;
}

/* What is left of the time that it may pause. */
static inline uint64_t pace_left_ms(const struct pace *p, uint64_t pause_ms)
{
    uint64_t debt_ms = p->debt_us / 1000;
    return debt_ms < pause_ms ? pause_ms - debt_ms : 0;
}
