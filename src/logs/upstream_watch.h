/* logs/upstream_watch.h: how nginx's upstreams do, by its own logs: attempts, failures and times of each address over a
 * stretch of time, judged at its end. One thread. */
#pragma once

#include "logs/entry.h"

#define UPSTREAM_WATCH_MAX 256u /* addresses; more are not looked at */
#define UPSTREAM_TEXT_MAX 96u

struct upstream_limits {
    uint32_t attempts_min;   /* fewer say nothing */
    uint32_t errors_percent; /* this share is too much; 0: not judged */
    uint64_t latency_ms;     /* a mean of this is too much; 0: not judged */
};

struct upstream_verdict {
    char address[UPSTREAM_TEXT_MAX]; /* as nginx writes it: "10.0.0.1:80", "unix:/run/a.sock" */
    uint64_t attempts, errors, mean_us;
    bool is_bad;
};

struct upstream_seen {
    uint16_t len;
    char address[UPSTREAM_TEXT_MAX];
    uint64_t attempts, errors, timed, time_us;
};

struct upstream_watch {
    uint32_t count;
    struct upstream_seen seen[UPSTREAM_WATCH_MAX];
};

/* Counts each attempt of the record: $upstream_addr, $upstream_status and $upstream_response_time are lists that belong
 * together. An attempt without a status, or with 5xx, is an error. */
void upstream_watch_count(struct upstream_watch *w, const struct log_entry *e);
/* Judges every address that has enough attempts and begins anew. Returns how many verdicts there are. */
uint32_t upstream_watch_judge(struct upstream_watch *w, const struct upstream_limits *limits,
                              struct upstream_verdict out[UPSTREAM_WATCH_MAX]);
