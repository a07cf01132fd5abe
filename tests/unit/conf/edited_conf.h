/* tests/unit/conf/edited_conf.h: a configuration with what a path goes through (a map, a list by names, a list by another key, what may
 * be absent), for the tests of changes and edits of a tree. Tables only. */
#pragma once

#include <stdint.h>

#include "conf/decode.h"

struct gate {
    struct conf_items deny;
};
static const struct conf_field gate_fields[] = {
    { "deny", CONF_LIST(struct gate, deny, &conf_cidr_type) },
    { 0 },
};
static const struct conf_type gate_type = { .name = "gate",
                                            .size = sizeof(struct gate),
                                            .fields = gate_fields };
struct thing {
    const char *name, *address;
    uint32_t weight;
};
static const struct conf_field thing_fields[] = {
    { "address", CONF_STRING(struct thing, address), .flags = CONF_REQUIRED },
    { "weight", CONF_U32(struct thing, weight), .max = 100, .preset = "1" },
    { 0 },
};
static const struct conf_type thing_type = { .name = "server",
                                             .size = sizeof(struct thing),
                                             .fields = thing_fields,
                                             .short_form = "address",
                                             .name_from = "address" };
struct pool {
    const char *name, *balance;
    struct conf_items servers; /* struct thing */
};
static const struct conf_field pool_fields[] = {
    { "balance", CONF_STRING(struct pool, balance), .preset = "random" },
    { "servers", CONF_NAMED(struct pool, servers, &thing_type) },
    { 0 },
};
static const struct conf_type pool_type = { .name = "pool",
                                            .size = sizeof(struct pool),
                                            .fields = pool_fields };
struct pair {
    const char *cert, *key;
    struct conf_items hosts;
};
static const struct conf_field pair_fields[] = {
    { "cert", CONF_STRING(struct pair, cert) },
    { "key", CONF_STRING(struct pair, key) },
    { "hosts", CONF_STRINGS(struct pair, hosts), .flags = CONF_OR_ONE },
    { 0 },
};
static const struct conf_type pair_type = { .name = "pair",
                                            .size = sizeof(struct pair),
                                            .fields = pair_fields,
                                            .name_from = "cert",
                                            .or_name_from = "hosts" };
struct root {
    struct conf_items pools, pairs;
    struct gate *gate;
    uint32_t workers;
};
static const struct conf_field root_fields[] = {
    { "pools", CONF_MAP(struct root, pools, &pool_type) },
    { "pairs", CONF_LIST(struct root, pairs, &pair_type) },
    { "gate", CONF_OPTIONAL(struct root, gate, &gate_type) },
    { "workers", CONF_U32(struct root, workers), .max = 64, .preset = "0" },
    { 0 },
};
static const struct conf_type root_type = { .name = "configuration",
                                            .size = sizeof(struct root),
                                            .fields = root_fields };
