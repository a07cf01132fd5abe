#include "net/timer.h"

#include "base/bug.h"
#include "base/count.h"

#define SLOT_BITS 6
/* Farther than the wheel reaches is filed at its end and filed again from there. */
#define REACH ((UINT64_C(1) << (SLOT_BITS * TIMER_LEVELS)) - 1)

/* To be filed again is cheaper than to run. */
#define FILE_COST 1u
#define RUN_COST 16u

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ms)
{
    *wheel = (struct timer_wheel){ .now_ms = now_ms };
    list_init(&wheel->due);
    for (int level = 0; level < TIMER_LEVELS; level++)
        for (int slot = 0; slot < TIMER_SLOTS; slot++) list_init(&wheel->slots[level][slot]);
}

void timer_init(struct timer *t, void (*on_timer)(struct timer *))
{
    *t = (struct timer){ .on_timer = on_timer };
    list_init(&t->link);
}

/* The level is that of the highest bit in which the two times differ, so that a slot of level n is emptied
 * just when the wheel enters its span. */
static int level_of(uint64_t now_ms, uint64_t at_ms)
{
    uint64_t differing = (now_ms ^ at_ms) | (TIMER_SLOTS - 1);
    int level = (63 - __builtin_clzll(differing)) / SLOT_BITS;
    return level < TIMER_LEVELS ? level : TIMER_LEVELS - 1;
}

static unsigned slot_of(uint64_t at_ms, int level)
{
    return (unsigned)(at_ms >> (SLOT_BITS * level)) & (TIMER_SLOTS - 1);
}

static void file(struct timer_wheel *wheel, struct timer *t)
{
    uint64_t at = t->deadline_ms > wheel->now_ms ? t->deadline_ms : wheel->now_ms + 1;
    if (at - wheel->now_ms > REACH) at = wheel->now_ms + REACH;
    t->slot_ms = at;
    int level = level_of(wheel->now_ms, at);
    unsigned slot = slot_of(at, level);
    list_push_back(&wheel->slots[level][slot], &t->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

static void unfile(struct timer_wheel *wheel, struct timer *t)
{
    struct list *before = t->link.prev;
    bool is_last = before == t->link.next;
    list_remove(&t->link);
    if (!is_last) return;
    /* Only a slot's head can be left alone: its place in the array tells which bit to clear. */
    struct list *first = &wheel->slots[0][0];
    if (before < first || before >= first + TIMER_LEVELS * TIMER_SLOTS) return;
    size_t index = (size_t)(before - first);
    wheel->occupied[index / TIMER_SLOTS] &= ~(UINT64_C(1) << (index % TIMER_SLOTS));
}

void timer_arm(struct timer_wheel *wheel, struct timer *t, uint64_t deadline_ms)
{
    if (bug_if(TIMER, !t->on_timer)) return; /* timer_init() was never called */
    t->deadline_ms = deadline_ms;
    if (timer_is_armed(t)) {
        if (t->slot_ms <= deadline_ms) return;
        unfile(wheel, t);
    } else {
        count_add(&wheel->count, 1);
    }
    file(wheel, t);
}

void timer_disarm(struct timer_wheel *wheel, struct timer *t)
{
    if (bug_if(TIMER, !t->link.next) || !timer_is_armed(t)) return;
    unfile(wheel, t);
    count_less(TIMER, &wheel->count);
}

/* Of those of one slot: due ones run, the others are filed again nearer. Returns what is left of `cost`. */
static uint64_t work_off(struct timer_wheel *wheel, uint64_t cost)
{
    while (cost && !list_is_empty(&wheel->due)) {
        struct timer *t = container_of(list_pop_front(&wheel->due), struct timer, link);
        if (t->deadline_ms > wheel->now_ms) {
            file(wheel, t);
            cost -= FILE_COST;
            continue;
        }
        count_less(TIMER, &wheel->count);
        cost -= cost < RUN_COST ? cost : RUN_COST;
        t->on_timer(t);
    }
    return cost;
}

static void take_slot(struct timer_wheel *wheel, int level, unsigned slot)
{
    list_move(&wheel->due, &wheel->slots[level][slot]);
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    (void)bug_if(TIMER, list_is_empty(&wheel->due)); /* it was marked as occupied */
}

/* The start of the next occupied slot, UINT64_MAX if there is none. */
static uint64_t next_slot_ms(const struct timer_wheel *wheel, int *level, unsigned *slot)
{
    for (int l = 0; l < TIMER_LEVELS; l++) {
        unsigned here = slot_of(wheel->now_ms, l);
        uint64_t ahead = wheel->occupied[l] >> here << here;
        if (!ahead && l < TIMER_LEVELS - 1) continue;
        if (!ahead) ahead = wheel->occupied[l]; /* the top level goes round */
        if (!ahead) continue;
        *level = l;
        *slot = (unsigned)__builtin_ctzll(ahead);
        uint64_t span = UINT64_C(1) << (SLOT_BITS * l);
        uint64_t base = (wheel->now_ms / span - here) * span;
        uint64_t at = base + *slot * span;
        return *slot < here ? at + span * TIMER_SLOTS : at;
    }
    return UINT64_MAX;
}

void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ms, uint32_t at_most)
{
    int level = 0;
    unsigned slot = 0;
    uint64_t cost = work_off(wheel, (uint64_t)at_most * RUN_COST);
    while (wheel->count && list_is_empty(&wheel->due)) {
        uint64_t at = next_slot_ms(wheel, &level, &slot);
        if (at > now_ms) break;
        if (at > wheel->now_ms) wheel->now_ms = at;
        take_slot(wheel, level, slot);
        cost = work_off(wheel, cost);
    }
    if (now_ms > wheel->now_ms && list_is_empty(&wheel->due)) wheel->now_ms = now_ms;
}

int timer_wheel_wait_ms(const struct timer_wheel *wheel)
{
    if (!wheel->count) return -1;
    if (!list_is_empty(&wheel->due)) return 0;
    int level;
    unsigned slot;
    uint64_t at = next_slot_ms(wheel, &level, &slot);
    if (at <= wheel->now_ms) return 0;
    uint64_t wait = at - wheel->now_ms;
    return wait > 60000 ? 60000 : (int)wait;
}
