/* health/outlier.h: who of a pool fails as the others do not. Pure: from counters to a finding.
 *
 * A run of failures speaks against a server if chance would not explain it: with the others failing f of their attempts, n
 * failures on end are nothing where f^n is one in a million or more. So if all fail alike, nobody is found, however long the
 * runs; and the less is known of the others, the longer a run must be. A share of failures speaks against a server if it is
 * at least twice that of the others' median; latency, if its geometric mean is as many times that of the others' median as the
 * configuration says. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "health/ejection_conf.h"

/* Failures on end, by what ends the count: any answer; one that is no gateway's; one below 500. */
enum fault_run { RUN_TIMEOUTS, RUN_GATEWAY, RUN_ERRORS, FAULT_RUNS };

struct outlier_peer {
    double attempts, faults; /* in the window */
    double answers,
        waits; /* likewise: good ones, and the sum of the binary logarithms of how many µs each took */
    uint32_t runs[FAULT_RUNS];
    bool is_in;       /* it is among those that requests go to */
    bool is_on_trial; /* it was ejected, is back, and has not shown yet that it is well: less is enough */
};

enum outlier_kind {
    OUTLIER_NONE,
    OUTLIER_TIMEOUTS,
    OUTLIER_GATEWAY,
    OUTLIER_ERRORS,
    OUTLIER_SHARE,
    OUTLIER_LATENCY
};

struct outlier_finding {
    enum outlier_kind kind;
    uint32_t run;       /* of a run: how long */
    double own, others; /* failures, 0 to 1, or latency, µs: its own, and what it is compared with */
};

struct outlier_look {
    const struct ejection_conf *conf;
    const struct outlier_peer *peers;
    double attempts, faults; /* of all that are in */
    double *shares;          /* of those that had attempts, the least first */
    double *waits;           /* likewise: the mean logarithms of those that had answers */
    uint32_t share_count, wait_count;
};

/* `room` is for twice `count`. All are borrowed for as long as the look is. */
void outlier_look(struct outlier_look *l, const struct ejection_conf *conf, const struct outlier_peer *peers,
                  uint32_t count, double *room);
void outlier_find(const struct outlier_look *l, uint32_t index, struct outlier_finding *out);
