/* pool/membership.h: who of a pool's servers is in its peer set, and with which weight. Tiers, zones and
 * warm-up all end in that one number (docs/decisions/0008), so that every balancing method has them. Pure: no
 * clock, no memory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define MEMBERSHIP_TIERS 8
/* All of something, where a part of it is a number of these. */
#define MEMBERSHIP_WHOLE 10000u

struct membership_server {
    uint32_t weight;   /* 0..BALANCE_WEIGHT_MAX; 0: nothing new goes there */
    uint32_t tier;     /* 1..MEMBERSHIP_TIERS */
    uint32_t warm;     /* 1..MEMBERSHIP_WHOLE: how much of its weight it bears so far */
    bool is_local;     /* it is of the local zone, or the pool has none */
    bool is_in_subset; /* it is one of those that this process uses, or the pool has no subset */
    bool is_enabled;   /* by the operator */
    bool is_usable;    /* and by its health */
};

/* In percent. */
struct membership_rules {
    uint32_t overprovision; /* 100 or more: what a tier's servers can bear, of their own share */
    uint32_t panic;         /* a tier of which less is usable uses all that are enabled; 0: never */
    uint32_t spill;         /* the local zone keeps all while this much of it is usable; 0: no zones */
    bool refuses_all;       /* if no server is usable nobody is tried */
    bool keeps_out;         /* the method's: its sets hold those too that are out for a while */
};

struct membership {
    uint32_t weight; /* in the set, 1..BALANCE_SET_WEIGHT_MAX; 0: not in it */
    bool is_out;     /* it may not be picked now */
    bool is_standby; /* it is usable but has no weight: for when all who have are at their caps */
};

/* Fills `out[count]`. True if no server is usable: then all that are enabled are in the set, whatever their
 * health and tier; or nobody is, with `refuses_all`.
 *
 * Tiers share as Envoy's priority levels do ("Priority levels", Envoy's load balancing manual): a tier bears
 * its usable weight, as a part of its configured weight, times `overprovision`, and at most everything; what
 * the first cannot bear goes to the next one. If all together cannot bear everything, each gets its part of
 * what they can. Within a tier the local zone bears everything while `spill` of its weight is usable, and
 * below that as much less as is missing.
 *
 * Weights are as configured where one group of servers, none warming, takes everything; else parts of
 * BALANCE_SET_WEIGHT_MAX. They sum to at most 2^30 + count. */
bool membership_compute(const struct membership_rules *rules, const struct membership_server *servers,
                        uint32_t count, struct membership *out);
/* Health is left aside for some that are not well: by the `panic` of a tier, or because no server is usable. */
bool membership_panics(const struct membership_rules *rules, const struct membership_server *servers,
                       uint32_t count);
