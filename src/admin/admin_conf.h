/* admin/admin_conf.h: `admin:` as decoded; immutable, part of the configuration's snapshot. */
#pragma once

#include "base/address.h"
#include "conf/field.h"

struct admin_conf {
    struct address bind;
    const char *token;      /* NULL: none is asked for */
    uint64_t history_bytes; /* of traffic; 0: none is kept */
};

extern const struct conf_type admin_conf_type;
