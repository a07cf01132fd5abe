/* observe/unit_state.h: what `systemctl show UNIT` says (org.freedesktop.systemd1(5) has the properties). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

#define UNIT_LIMIT_MS 2000u
#define UNIT_WORD_MAX 32u
#define UNIT_GROUP_MAX 512u

struct unit_state {
    bool is_known;
    char load[UNIT_WORD_MAX], active[UNIT_WORD_MAX], sub[UNIT_WORD_MAX]; /* "loaded", "active", "running" */
    char result[UNIT_WORD_MAX];                                          /* "success", "oom-kill", ... */
    char status[128];                                                    /* STATUS= of sd_notify(3) */
    char group[UNIT_GROUP_MAX]; /* "/system.slice/nginx.service"; "": none */
    uint64_t main_pid, restarts;
    uint64_t active_since_us; /* CLOCK_MONOTONIC; 0: it is not */
    uint64_t exit_status;     /* of the main process that ended last */
};

/* Runs `systemctl`, found in PATH unless it is a path, for at most limit_ms, and reads at most 16 KiB of its answer. */
MUST_CHECK int unit_state_ask(const char *systemctl, const char *unit, uint32_t limit_ms,
                              struct unit_state *out, struct err *err);
/* Pure. False: no state of a unit is told. */
bool unit_state_parse(struct slice text, struct unit_state *out);
