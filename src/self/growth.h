/* self/growth.h: does a figure grow by itself, or with the load? "Grew with the load and came back" is no leak, "grows at
 * the same load and never falls" is one. Pure.
 *
 * The test is the partial Mann-Kendall test of a trend in the value, given the trend in the load (Libiseller and Grimvall,
 * "Performance of partial Mann-Kendall tests for trend detection in the presence of covariates", Environmetrics 13, 2002;
 * the covariance after Dietz and Killeen, JASA 76, 1981). It knows ranks only: neither a single peak nor how exactly the
 * value follows the load matters. Since one moment resembles the next, its variance is corrected by the correlation of
 * neighbours (Yue and Wang, "The Mann-Kendall test modified by effective sample size", Water Resources Management 18,
 * 2004). The slope is the median over all pairs of moments with about the same load (Sen, JASA 63, 1968). */
#pragma once

#include <stdint.h>

#define GROWTH_POINTS_MIN 20u
/* Longer series are averaged down to at most so many. */
#define GROWTH_POINTS_MAX 128u

struct growth_point {
    double time_s; /* upwards */
    double value;
    double load; /* requests a second, or what else explains the value; a constant: nothing does */
};

enum growth_verdict {
    GROWTH_UNKNOWN,   /* too few points */
    GROWTH_STEADY,    /* nothing that chance does not explain */
    GROWTH_WITH_LOAD, /* grew, and so did the load: no more than that can be said before the load falls */
    GROWTH_STAYED,    /* rose, stays, and does not rise any more: caches, pools, a high-water mark */
    GROWTH_LEAK,      /* rises at the same load, all the time */
};

extern const char *const growth_verdict_names[];

struct growth_options {
    double p_max;    /* GROWTH_P_MAX is meant for a test every minute: one false alarm in months */
    double rise_min; /* a smaller rise over the whole series is never a leak; in units of the value */
};

#define GROWTH_P_MAX 1e-6

struct growth {
    enum growth_verdict verdict;
    double p; /* that chance alone gives such a trend or a clearer one, the load being what it was */
    double slope_per_s; /* at the same load */
    double rise;        /* slope times the length of the series */
    double load_share;  /* -1..1: correlation of the value's ranks with the load's */
    uint32_t point_count;
};

/* No allocation; about a millisecond for a full series. Points that are not finite are left out. */
void growth_judge(const struct growth_point *points, uint32_t count, const struct growth_options *options,
                  struct growth *out);
