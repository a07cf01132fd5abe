/* health/ejection_conf.h: `ejection:` of a pool: when a server is taken out for what its answers look like beside the others',
 * and for how long. Immutable, part of the configuration's snapshot. */
#pragma once

#include "conf/field.h"

struct ejection_conf {
    bool is_enabled;
    /* On end; 0: does not count. */
    uint32_t connect_failures, timeouts, gateway_errors, server_errors;
    uint32_t share; /* of attempts that failed, in percent; 0: does not count */
    uint32_t
        latency; /* how many times as long as the others' median its answers may take; 0: does not count */
    uint32_t attempts; /* fewer in the window say nothing of a share, or of latency */
    uint64_t min_ms, max_ms;
    uint32_t max_ejected; /* percent */
};

extern const struct conf_type ejection_conf_type;
