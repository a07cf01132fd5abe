#include "pool/membership.h"

#include <stddef.h>

#include "balance/balance.h"

/* Parts of all traffic: so many that one server of 4096 at the most uneven weights is still some. */
#define SHARE_WHOLE UINT64_C(100000000)
#define WEIGHT_SUM_MAX (1 << 30)

enum { LOCAL, OTHER, ZONES };

/* The servers of one tier and zone. Sums of weights. */
struct group {
    uint64_t configured, enabled, usable;
    uint64_t taking; /* of those that may be picked now */
    uint64_t warm;   /* of the same, each by how warm it is */
    uint64_t share;  /* of all traffic, in SHARE_WHOLE */
};

struct plan {
    const struct membership_rules *rules;
    struct group groups[MEMBERSHIP_TIERS][ZONES];
    bool ignores_health[MEMBERSHIP_TIERS]; /* panic */
    bool is_plain;                         /* the weights are as configured */
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint32_t tier_of(const struct membership_server *s)
{
    if (s->tier < 1) return 0;
    return s->tier > MEMBERSHIP_TIERS ? MEMBERSHIP_TIERS - 1 : s->tier - 1;
}

static struct group *group_of(struct plan *p, const struct membership_server *s)
{
    return &p->groups[tier_of(s)][s->is_local || !p->rules->spill ? LOCAL : OTHER];
}

static bool has_weight(const struct membership_server *s)
{
    return s->is_in_subset && s->weight;
}

static bool may_take(const struct plan *p, const struct membership_server *s)
{
    return p->ignores_health[tier_of(s)] ? s->is_enabled : s->is_usable;
}

static void tally(struct plan *p, const struct membership_server *servers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct membership_server *s = &servers[i];
        if (!has_weight(s)) continue;
        struct group *g = group_of(p, s);
        g->configured += s->weight;
        if (s->is_enabled) g->enabled += s->weight;
        if (s->is_usable) g->usable += s->weight;
    }
}

static uint64_t usable_of(const struct group tier[ZONES])
{
    return tier[LOCAL].usable + tier[OTHER].usable;
}

static uint64_t configured_of(const struct group tier[ZONES])
{
    return tier[LOCAL].configured + tier[OTHER].configured;
}

/* What a tier can bear, of all traffic. */
static uint64_t capacity_of(const struct plan *p, uint32_t tier)
{
    const struct group *g = p->groups[tier];
    if (!configured_of(g)) return 0;
    uint64_t percent = p->rules->overprovision > 100 ? p->rules->overprovision : 100;
    return min_u64(usable_of(g) * percent * (SHARE_WHOLE / 100) / configured_of(g), SHARE_WHOLE);
}

static bool panics(const struct plan *p, uint32_t tier)
{
    const struct group *g = p->groups[tier];
    return usable_of(g) * 100 < configured_of(g) * p->rules->panic;
}

static void share_zones(struct plan *p, uint32_t tier, uint64_t share)
{
    struct group *local = &p->groups[tier][LOCAL], *other = &p->groups[tier][OTHER];
    uint64_t wanted = local->configured * p->rules->spill;
    uint64_t there = local->taking * 100;
    local->share = share;
    if (!local->taking)
        local->share = 0;
    else if (other->taking && there < wanted)
        local->share = share * there / wanted;
    other->share = share - local->share;
}

/* False: no server is usable. */
static bool share_tiers(struct plan *p)
{
    uint64_t sum = 0;
    for (uint32_t t = 0; t < MEMBERSHIP_TIERS; t++) sum += capacity_of(p, t);
    uint64_t left = SHARE_WHOLE;
    for (uint32_t t = 0; t < MEMBERSHIP_TIERS; t++) {
        struct group *g = p->groups[t];
        uint64_t capacity = capacity_of(p, t);
        uint64_t share = sum >= SHARE_WHOLE ? min_u64(capacity, left)
                                            : capacity * SHARE_WHOLE / (sum ? sum : 1);
        left -= share;
        p->ignores_health[t] = panics(p, t);
        for (int z = 0; z < ZONES; z++) g[z].taking = p->ignores_health[t] ? g[z].enabled : g[z].usable;
        share_zones(p, t, share);
    }
    return sum > 0;
}

static void ignore_health_and_tiers(struct plan *p)
{
    for (uint32_t t = 0; t < MEMBERSHIP_TIERS; t++) {
        p->ignores_health[t] = true;
        for (int z = 0; z < ZONES; z++) p->groups[t][z].share = 1;
    }
    p->is_plain = true;
}

/* No group has a share: nobody is a member. */
static void refuse_all(struct plan *p)
{
    for (uint32_t t = 0; t < MEMBERSHIP_TIERS; t++) p->ignores_health[t] = false;
}

/* Weights must be parts if more than one group has a share, or somebody in it is warming. */
static void weigh_groups(struct plan *p, const struct membership_server *servers, uint32_t count)
{
    uint32_t group_count = 0;
    bool is_warming = false;
    for (uint32_t t = 0; t < MEMBERSHIP_TIERS; t++)
        for (int z = 0; z < ZONES; z++) group_count += p->groups[t][z].share > 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct membership_server *s = &servers[i];
        struct group *g = group_of(p, s);
        if (!has_weight(s) || !g->share || !may_take(p, s)) continue;
        g->warm += (uint64_t)s->weight * s->warm;
        if (s->warm < MEMBERSHIP_WHOLE) is_warming = true;
    }
    p->is_plain = group_count == 1 && !is_warming;
}

static bool is_member(struct plan *p, const struct membership_server *s)
{
    return has_weight(s) && group_of(p, s)->share && (may_take(p, s) || p->rules->keeps_out);
}

/* A server's part of what its group bears. One that is out has what it would bear beside those that are not:
 * whom its keys fall back to share them as they share everything else. */
static double part_of(struct plan *p, const struct membership_server *s)
{
    const struct group *g = group_of(p, s);
    if (p->is_plain) return s->weight;
    return (double)g->share * s->weight * s->warm / (double)g->warm;
}

/* By which parts are multiplied to make the most of the whole numbers that weights are. */
static double scale_of(struct plan *p, const struct membership_server *servers, uint32_t count)
{
    double most = 0, sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!is_member(p, &servers[i])) continue;
        double part = part_of(p, &servers[i]);
        if (part > most) most = part;
        sum += part;
    }
    if (p->is_plain || most <= 0) return 1;
    double by_most = BALANCE_SET_WEIGHT_MAX / most, by_sum = WEIGHT_SUM_MAX / sum;
    return by_most < by_sum ? by_most : by_sum;
}

bool membership_compute(const struct membership_rules *rules, const struct membership_server *servers,
                        uint32_t count, struct membership *out)
{
    struct plan p = { .rules = rules };
    tally(&p, servers, count);
    bool is_panic = !share_tiers(&p);
    if (is_panic && rules->refuses_all)
        refuse_all(&p);
    else if (is_panic)
        ignore_health_and_tiers(&p);
    else
        weigh_groups(&p, servers, count);
    double scale = scale_of(&p, servers, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct membership_server *s = &servers[i];
        out[i] = (struct membership){ .is_out = !may_take(&p, s) };
        if (is_member(&p, s)) {
            uint32_t weight = (uint32_t)(part_of(&p, s) * scale + 0.5);
            out[i].weight = weight ? weight : 1;
        } else {
            out[i].is_standby = has_weight(s) && s->is_usable;
        }
    }
    return is_panic;
}

bool membership_panics(const struct membership_rules *rules, const struct membership_server *servers,
                       uint32_t count)
{
    struct plan p = { .rules = rules };
    tally(&p, servers, count);
    bool is_any_usable = share_tiers(&p), has_left_aside = false;
    if (!is_any_usable && rules->refuses_all) return false;
    for (uint32_t t = 0; t < MEMBERSHIP_TIERS; t++) {
        const struct group *g = p.groups[t];
        bool has_ill = g[LOCAL].enabled + g[OTHER].enabled > usable_of(g);
        if (has_ill && (!is_any_usable || p.ignores_health[t])) has_left_aside = true;
    }
    return has_left_aside;
}
