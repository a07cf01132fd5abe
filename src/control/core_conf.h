/* control/core_conf.h: `core: {enabled: true, dir: /var/lib/weir/cores, contents: lean}`, as decoded: what a crash leaves
 * behind. */
#pragma once

#include "conf/field.h"

enum core_contents {
    CORE_LEAN, /* without payload and secrets */
    CORE_FULL
};

struct core_conf {
    bool enabled;
    const char *dir;   /* NULL: where weir was started */
    uint32_t contents; /* enum core_contents */
};

extern const struct conf_type core_conf_type;
