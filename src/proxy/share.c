#include "proxy/share.h"

#include <stdlib.h>

/* In tenths of the average. */
#define BEGIN_TENTHS 12u
#define END_TENTHS 11u

/* the choice */

struct sums {
    uint64_t connections, exchanges;
};

static struct sums sum_up(const struct share_load *loads, uint32_t count)
{
    struct sums s = { 0, 0 };
    for (uint32_t i = 0; i < count; i++) {
        s.connections += loads[i].connections;
        s.exchanges += loads[i].exchanges;
    }
    return s;
}

/* More than so many tenths of the average of `count` that have `sum` together. */
static bool is_over(uint64_t own, uint64_t sum, uint32_t count, uint32_t tenths)
{
    return own * count * 10 > sum * tenths;
}

static bool is_busy(const struct share_load *l, const struct sums *s, uint32_t count)
{
    return is_over(l->exchanges, s->exchanges, count, BEGIN_TENTHS) &&
           (uint64_t)l->exchanges * count >= s->exchanges + (uint64_t)SHARE_APART_MIN * count;
}

/* Who has fewest, of equals the next in turn; `own`: nobody takes any. */
static uint32_t find_least(const struct share_load *loads, uint32_t count, uint32_t own, const struct sums *s)
{
    uint32_t least = own;
    for (uint32_t i = 1; i < count; i++) {
        uint32_t at = (own + i) % count;
        if (!loads[at].takes || is_busy(&loads[at], s, count)) continue;
        if (least == own || loads[at].connections < loads[least].connections) least = at;
    }
    return least;
}

static uint32_t apart(bool is_sharing)
{
    return is_sharing ? SHARE_APART_MIN / 2 : SHARE_APART_MIN;
}

bool share_is_over(bool is_sharing, uint32_t connections, uint64_t all, uint32_t count)
{
    return connections >= apart(is_sharing) &&
           is_over(connections, all, count, is_sharing ? END_TENTHS : BEGIN_TENTHS);
}

uint32_t share_choose(bool *is_sharing, const struct share_load *loads, uint32_t count, uint32_t own)
{
    struct sums s = sum_up(loads, count);
    uint32_t least = find_least(loads, count, own, &s);
    uint32_t mine = loads[own].connections, theirs = loads[least].connections;
    *is_sharing = least != own && mine >= theirs + apart(*is_sharing) &&
                  share_is_over(*is_sharing, mine, s.connections, count);
    return *is_sharing ? least : own;
}

/* a worker's part */

void share_init(struct share *s, uint32_t worker_count)
{
    s->turn = UINT64_MAX;
    s->loads = worker_count > 1 ? calloc(worker_count, sizeof(*s->loads)) : NULL;
}

void share_fini(struct share *s)
{
    free(s->loads);
    s->loads = NULL;
}
