/* metric/cluster.h: how much less counts say if what is counted comes in clusters: requests of the same user resemble each
 * other. Users are dealt to buckets by a hash, so that buckets are independent of each other whatever users do, and how
 * much they differ tells the variance without remembering users. Pure; any thread. */
#pragma once

#include <stdint.h>

/* The design effect (L. Kish, Survey Sampling, 1965): by what factor the variance is larger than that of as many independent
 * requests. Never below 1. */
struct cluster_effect {
    double effect;
    double degrees; /* of freedom that a variance with this effect has; INFINITY if the effect is 1 */
};

/* What the buckets of a group of users, or of several groups, show. */
struct cluster_sums {
    double square, fourth; /* of their deviations from what their group's mean makes likely */
    double expected;       /* what the squares sum to if requests are independent */
    uint32_t buckets;      /* 0: nothing can be told */
};
/* Of numbers of requests: variance over mean of the buckets. */
struct cluster_sums cluster_of_counts(const uint64_t *counts, uint32_t buckets);
/* Of a share, hits of counts: by the delta method for a ratio of sums over buckets (W. G. Cochran, Sampling Techniques,
 * 1977, 6.3). Where there are only hits or none nothing can be told. */
struct cluster_sums cluster_of_share(const uint64_t *hits, const uint64_t *counts, uint32_t buckets);
void cluster_merge(struct cluster_sums *into, const struct cluster_sums *from);
/* 1 if nothing can be told. */
struct cluster_effect cluster_effect(const struct cluster_sums *sums);
