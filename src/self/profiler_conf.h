/* self/profiler_conf.h: `profile:` of the configuration: what weir looks at in itself all the time. */
#pragma once

#include "conf/field.h"

struct profiler_conf {
    bool is_continuous;
    uint32_t hz;
    uint64_t leaks_ms;  /* how often it is looked whether something leaks */
    uint64_t stalls_ms; /* how long a loop may take to turn */
};

extern const struct conf_type profiler_conf_type;
