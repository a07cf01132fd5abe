#include "balance/alias.h"

#include <stdlib.h>

#include "balance/method.h"

static bool is_even(const struct balance_set *set)
{
    for (uint32_t i = 1; i < set->count; i++)
        if (set->weights[i] != set->weights[0]) return false;
    return true;
}

/* `mass[i]` is what is left of weight i times count; a column holds `total`. Each step closes the column of
 * one that has less than a column with a part of one that has more. `order`: the small from the front, the
 * large from the back. */
static void fill_alias(struct alias *a, uint64_t *mass, uint32_t *order)
{
    uint32_t small = 0, large = a->count;
    for (uint32_t i = 0; i < a->count; i++) {
        if (mass[i] < a->total)
            order[small++] = i;
        else
            order[--large] = i;
    }
    while (small > 0 && large < a->count) {
        uint32_t less = order[--small], more = order[large];
        a->columns[less] = (struct alias_column){ .keep = (uint32_t)mass[less], .other = more };
        mass[more] -= a->total - mass[less];
        if (mass[more] >= a->total) continue;
        large++;
        order[small++] = more;
    }
    for (; large < a->count; large++)
        a->columns[order[large]] = (struct alias_column){ .keep = a->total, .other = order[large] };
}

struct alias *alias_new(const struct balance_set *set)
{
    uint32_t n = set->count, gcd = balance_weights_gcd(set);
    struct alias *a = calloc(1, sizeof(*a) + n * sizeof(struct alias_column));
    uint64_t *mass = malloc((n + 1) * (sizeof(*mass) + sizeof(uint32_t)));
    if (!a || !mass) {
        free(a);
        free(mass);
        return NULL;
    }
    a->count = n;
    if (!is_even(set)) {
        for (uint32_t i = 0; i < n; i++) a->total += set->weights[i] / gcd;
        for (uint32_t i = 0; i < n; i++) mass[i] = (uint64_t)(set->weights[i] / gcd) * n;
        fill_alias(a, mass, (uint32_t *)(mass + n + 1));
    }
    free(mass);
    return a;
}

size_t alias_bytes(const struct alias *a)
{
    return a ? sizeof(*a) + a->count * sizeof(struct alias_column) : 0;
}

static bool is_among(const uint32_t *peers, uint32_t count, uint32_t peer)
{
    for (uint32_t i = 0; i < count; i++)
        if (peers[i] == peer) return true;
    return false;
}

uint32_t alias_draw_several(const struct alias *a, const struct balance_query *q, uint32_t wanted,
                            uint32_t peers[ALIAS_CHOICES_MAX])
{
    uint32_t found = 0;
    if (bug_if(BALANCE, wanted > ALIAS_CHOICES_MAX || a->count != q->peer_count)) return 0;
    for (uint32_t draws = 4 * wanted; draws && found < wanted; draws--) {
        uint32_t peer = alias_draw(a, q->rng);
        if (!is_among(peers, found, peer) && balance_may_take(q, peer)) peers[found++] = peer;
    }
    return found;
}
