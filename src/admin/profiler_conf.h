/* admin/profiler_conf.h: `profile:` of the configuration: whether CPU profiles are taken all the time. */
#pragma once

#include "conf/field.h"

struct profiler_conf {
    bool is_continuous;
    uint32_t hz;
};

extern const struct conf_type profiler_conf_type;
