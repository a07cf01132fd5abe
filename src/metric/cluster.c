#include "metric/cluster.h"

#include <math.h>

/* A variance has as many degrees of freedom as a chi-square variable has whose relative variance is that of the estimate
 * (F. E. Satterthwaite 1946): with the kurtosis k of n deviations, 2n/(k - 1). That is n for normal ones and few if few
 * buckets make up the sum: few users, or one that makes most of the requests. The part that is known beforehand,
 * independent requests, has no such uncertainty. */
struct cluster_effect cluster_effect(const struct cluster_sums *s)
{
    double effect = s->square / s->expected, excess = effect - 1;
    if (!(excess > 0) || !(s->expected > 0)) return (struct cluster_effect){ 1, INFINITY };
    double kurtosis = s->buckets * s->fourth / (s->square * s->square);
    double degrees = kurtosis > 3 ? 2 * s->buckets / (kurtosis - 1) : s->buckets;
    if (degrees < 1) degrees = 1;
    return (struct cluster_effect){ effect, degrees * effect * effect / (excess * excess) };
}

static void add_deviation(struct cluster_sums *s, double off)
{
    s->square += off * off;
    s->fourth += off * off * off * off;
}

struct cluster_sums cluster_of_counts(const uint64_t *counts, uint32_t buckets)
{
    double all = 0;
    for (uint32_t i = 0; i < buckets; i++) all += (double)counts[i];
    double mean = all / buckets;
    struct cluster_sums sums = { .expected = mean * (buckets - 1), .buckets = all > 0 ? buckets : 0 };
    for (uint32_t i = 0; i < buckets; i++) add_deviation(&sums, (double)counts[i] - mean);
    return sums;
}

struct cluster_sums cluster_of_share(const uint64_t *hits, const uint64_t *counts, uint32_t buckets)
{
    double all_hits = 0, all = 0;
    for (uint32_t i = 0; i < buckets; i++) {
        all_hits += (double)hits[i];
        all += (double)counts[i];
    }
    if (!(all_hits > 0) || !(all_hits < all)) return (struct cluster_sums){ 0 };
    double share = all_hits / all;
    struct cluster_sums sums = { .expected = all * share * (1 - share) * (buckets - 1) / buckets,
                                 .buckets = buckets };
    for (uint32_t i = 0; i < buckets; i++) add_deviation(&sums, (double)hits[i] - share * (double)counts[i]);
    return sums;
}

void cluster_merge(struct cluster_sums *into, const struct cluster_sums *from)
{
    into->square += from->square;
    into->fourth += from->fourth;
    into->expected += from->expected;
    into->buckets += from->buckets;
}
