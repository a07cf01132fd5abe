/* admin/upgrader.h: what the API asks of whoever can put another binary in this process's place: control/upgrade.h. Control
 * thread. */
#pragma once

#include "admin/answer.h"
#include "admin/shape.h"

/* A process that this one, or one before it, took over from, and that still lets what it had begun come to its end. */
struct predecessor {
    uint64_t pid, exchanges, tunnels, client_connections;
    double since_seconds, left_seconds; /* NaN: it has not said yet */
};

#define PREDECESSORS_MAX 32u

struct upgrade_ask {
    /* With the answer, whose memory is the callee's; not before ask() has returned. */
    void (*done)(void *context, struct answer *a);
    void *context;
};

struct upgrade_outcome {
    uint64_t pid, predecessor;
};

struct upgrader {
    /* -1 with the reason: nothing is begun, and done() does not come. */
    int (*ask)(struct upgrader *u, const struct upgrade_ask *ask, struct err *err);
    uint32_t (*predecessors)(struct upgrader *u, struct predecessor out[PREDECESSORS_MAX]);
};

extern const struct shape upgrade_outcome_shape, predecessor_shape;
