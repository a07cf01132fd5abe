/* control/hardening_conf.h: `hardening: {seccomp: true, landlock: true}`, as decoded: what weir gives up for good at its start. */
#pragma once

#include "conf/field.h"

struct hardening_conf {
    bool enabled; /* false: neither of the others, whatever they say */
    bool seccomp, landlock;
};

extern const struct conf_type hardening_conf_type;
