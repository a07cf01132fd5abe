/* coding/compress_conf.h: which responses are compressed and how, as configured: of a listener, or of a route in place of its
 * listener's. Part of a snapshot. */
#pragma once

#include "coding/coding.h"
#include "conf/field.h"

struct compress_levels {
    uint32_t gzip, br, zstd;
};

struct compress_conf {
    bool enabled;
    bool secret; /* also what seems to be for one client alone */
    struct conf_items
        algorithms; /* uint32_t, enum coding: the first is taken where a client likes several alike */
    struct conf_items types; /* const char *: "text/css", "text/" and "*" behind it, "*+json" */
    uint64_t least_bytes;
    struct compress_levels levels;
};

extern const struct conf_type compress_conf_type;

uint8_t compress_level(const struct compress_conf *conf, enum coding c);
/* A Content-Type's value, with or without parameters. */
bool compress_takes_type(const struct compress_conf *conf, struct slice content_type);
