/* net/timer.h: a hierarchical timing wheel (Varghese and Lauck, 1987): six levels of 64 slots, 1 ms the finest.
 * Arming is O(1); moving an armed timer to a later time, which is what almost every byte does, is one store. However many are due
 * at once, whoever advances the wheel says how much of it is done before others have their turn. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

#define TIMER_LEVELS 6
#define TIMER_SLOTS 64

struct timer {
    struct list link;     /* in a slot; to itself when not armed */
    uint64_t slot_ms;     /* the time that it is filed under */
    uint64_t deadline_ms; /* the time that is meant: the same or later */
    void (*on_timer)(struct timer *t);
};

struct timer_wheel {
    uint64_t now_ms;
    uint64_t occupied[TIMER_LEVELS]; /* bit per slot */
    uint32_t count;
    struct list due; /* whose time has come, and which have to wait for their turn */
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms);
void timer_init(struct timer *t, void (*on_timer)(struct timer *));
/* Fires once `now_ms` ≥ deadline_ms; an armed timer is moved. */
void timer_arm(struct timer_wheel *wheel, struct timer *t, uint64_t deadline_ms);
void timer_disarm(struct timer_wheel *wheel, struct timer *t);
/* Runs what is due, at most so many; the rest in the next call, before what is due later. A handler may arm and disarm any timer, its
 * own included. */
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms, uint32_t at_most);
/* Milliseconds until something may be due; -1 if nothing is armed. Never late, may be early. */
int timer_wheel_wait_ms(const struct timer_wheel *wheel);

static inline bool timer_is_armed(const struct timer *t)
{
    return t->link.next != &t->link;
}
