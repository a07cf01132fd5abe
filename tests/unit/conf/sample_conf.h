/* tests/unit/conf/sample_conf.h: a configuration with a row of every kind, for the tests and the fuzzers
 * of the conf layer. Tables only, so that both can include it. */
#pragma once

#include "base/address.h"
#include "conf/decode.h"

struct sample_server {
    const char *name;
    struct address address;
    uint32_t weight;
};

struct sample_timeouts {
    uint64_t connect_ms, total_ms;
};

struct sample_retry {
    uint32_t attempts;
    uint64_t buffer_bytes;
};

struct sample_hash {
    const char *key;
    uint32_t size;
};

struct sample_pool {
    const char *name;
    struct conf_choice balance;
    struct conf_items servers; /* struct sample_server */
    struct sample_timeouts timeouts;
    struct sample_retry *retry;
    const char *secret;
};

/* As an answer shows it. */
struct sample_pool_status {
    const char *name;
    uint32_t in_flight, weight;
};

struct sample_listener {
    const char *name;
    struct address bind;
    uint32_t protocol;
    const char *pool;
    struct conf_items trust;   /* struct cidr */
    struct conf_items upgrade; /* const char * */
    bool is_quiet;
};

struct sample_conf {
    struct conf_items listeners; /* struct sample_listener */
    struct conf_items pools;     /* struct sample_pool */
    struct conf_items levels;    /* uint32_t */
    struct sample_retry *retry;
    struct address admin;
    uint32_t workers;
};

static const struct conf_field sample_server_fields[] = {
    { "name", CONF_STRING(struct sample_server, name), .min = 1, .max = 20, .help = "Its name." },
    { "address", CONF_CUSTOM(struct sample_server, address, &conf_address_type), .flags = CONF_REQUIRED,
      .help = "Where it listens." },
    { "weight", CONF_U32(struct sample_server, weight), .min = 1, .max = 100, .preset = "1",
      .flags = CONF_LIVE, .help = "Its share." },
    { 0 },
};

static const struct conf_type sample_server_type = {
    .name = "server",
    .size = sizeof(struct sample_server),
    .fields = sample_server_fields,
    .short_form = "address",
    .name_from = "address",
};

static const struct conf_field sample_timeout_fields[] = {
    { "connect", CONF_MSEC(struct sample_timeouts, connect_ms), .min = 1, .max = 600000, .preset = "5s",
      .flags = CONF_LIVE, .help = "How long connecting may take." },
    { "total", CONF_MSEC(struct sample_timeouts, total_ms), .min = 1000, .max = 3600000, .preset = "off",
      .flags = CONF_MAY_BE_OFF, .help = "How long all may take." },
    { 0 },
};

static const struct conf_type sample_timeouts_type = { .name = "pool timeouts",
                                                       .size = sizeof(struct sample_timeouts),
                                                       .fields = sample_timeout_fields };

static const struct conf_field sample_retry_fields[] = {
    { "attempts", CONF_U32(struct sample_retry, attempts), .min = 1, .max = 16, .preset = "3",
      .flags = CONF_LIVE, .help = "How many attempts." },
    { "buffer", CONF_BYTES(struct sample_retry, buffer_bytes), .max = 1 << 20, .preset = "16KiB",
      .help = "How much of a body | is kept." },
    { 0 },
};

static const struct conf_type sample_retry_type = { .name = "retry",
                                                    .size = sizeof(struct sample_retry),
                                                    .fields = sample_retry_fields,
                                                    .short_form = "attempts" };

static const struct conf_field sample_hash_fields[] = {
    { "key", CONF_STRING(struct sample_hash, key), .min = 1, .max = 100, .flags = CONF_REQUIRED,
      .help = "What is hashed." },
    { "size", CONF_U32(struct sample_hash, size), .min = 1, .max = 65537, .preset = "4099",
      .help = "Of the table." },
    { 0 },
};

static const struct conf_type sample_hash_type = { .name = "hash",
                                                   .size = sizeof(struct sample_hash),
                                                   .fields = sample_hash_fields };

static const struct conf_option sample_random = { .name = "random", .help = "Any." };
static const struct conf_option sample_turn = { .name = "round_robin", .help = "The next." };
static const struct conf_option sample_hashed = { .name = "hash",
                                                  .help = "By key.",
                                                  .type = &sample_hash_type };
static const struct conf_option *const sample_options[] = { &sample_random, &sample_turn, &sample_hashed,
                                                            NULL };
static const struct conf_type sample_balance_type = {
    .name = "balance", .size = sizeof(struct conf_choice), .chosen_by = "method", .options = sample_options
};

static const struct conf_field sample_pool_fields[] = {
    { "name", CONF_STRING(struct sample_pool, name), .min = 1, .max = 20, .help = "Its name." },
    { "balance", CONF_CHOICE(struct sample_pool, balance, &sample_balance_type), .preset = "round_robin",
      .help = "How a server is chosen." },
    { "servers", CONF_NAMED(struct sample_pool, servers, &sample_server_type), .min = 1, .max = 8,
      .flags = CONF_REQUIRED, .help = "The servers." },
    { "timeouts", CONF_OBJECT(struct sample_pool, timeouts, &sample_timeouts_type), .flags = CONF_LIVE,
      .help = "Time-outs." },
    { "retry", CONF_OPTIONAL(struct sample_pool, retry, &sample_retry_type), .flags = CONF_LIVE,
      .help = "When to try again." },
    { "secret", CONF_STRING(struct sample_pool, secret), .flags = CONF_SECRET, .help = "Not to be shown." },
    { 0 },
};

static const struct conf_type sample_pool_type = { .name = "pool",
                                                   .size = sizeof(struct sample_pool),
                                                   .fields = sample_pool_fields };

static const struct conf_field sample_status_fields[] = {
    { "name", CONF_STRING(struct sample_pool_status, name), .help = "Its name." },
    { "in_flight", CONF_U32(struct sample_pool_status, in_flight), .flags = CONF_STATUS,
      .help = "How many there are." },
    { "weight", CONF_U32(struct sample_pool_status, weight), .flags = CONF_LIVE, .help = "Its share." },
    { 0 },
};

static const struct conf_type sample_status_type = { .name = "pool",
                                                     .size = sizeof(struct sample_pool_status),
                                                     .fields = sample_status_fields };

static const char *const sample_protocol_names[] = { "http", "tcp", NULL };
static const struct conf_type sample_protocol_type = { .name = "protocol", .names = sample_protocol_names };
static const struct conf_type sample_pool_ref_type = { .name = "pools" };

static inline void sample_check_listener(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct sample_listener *l = object;
    if (l->protocol == 1 && l->is_quiet)
        conf_decode_fault(d, node, "quiet", "remove it", "listener \"%s\" is tcp, which is always quiet",
                          l->name);
}

static const struct conf_field sample_listener_fields[] = {
    { "name", CONF_STRING(struct sample_listener, name), .min = 1, .max = 20, .help = "Its name." },
    { "bind", CONF_CUSTOM(struct sample_listener, bind, &conf_bind_address_type), .flags = CONF_REQUIRED,
      .help = "Where it accepts." },
    { "protocol", CONF_ENUM(struct sample_listener, protocol, &sample_protocol_type), .preset = "http",
      .help = "What it speaks." },
    { "pool", CONF_REF(struct sample_listener, pool, &sample_pool_ref_type), .help = "Where requests go." },
    { "trust", CONF_LIST(struct sample_listener, trust, &conf_cidr_type), .max = 4,
      .help = "Who is believed." },
    { "upgrade", CONF_STRINGS(struct sample_listener, upgrade), .max = 4, .preset = "[websocket]",
      .help = "What may be upgraded to." },
    { "quiet", CONF_BOOL(struct sample_listener, is_quiet), .help = "No log." },
    { 0 },
};

static const struct conf_type sample_listener_type = {
    .name = "listener",
    .size = sizeof(struct sample_listener),
    .fields = sample_listener_fields,
    .name_from = "bind",
    .check = sample_check_listener,
};

static const char *const sample_level_names[] = { "low", "middle", "high", NULL };
static const struct conf_type sample_level_type = { .name = "level", .names = sample_level_names };

static const struct conf_field sample_fields[] = {
    { "listeners", CONF_NAMED(struct sample_conf, listeners, &sample_listener_type),
      .help = "What accepts." },
    { "pools", CONF_MAP(struct sample_conf, pools, &sample_pool_type), .flags = CONF_REQUIRED,
      .help = "What answers." },
    { "levels", CONF_LIST(struct sample_conf, levels, &sample_level_type), .max = 3, .help = "Some levels." },
    { "retry", CONF_OPTIONAL(struct sample_conf, retry, &sample_retry_type), .preset = "{attempts: 5}",
      .help = "For all pools." },
    { "admin", CONF_CUSTOM(struct sample_conf, admin, &conf_address_type), .help = "Where it is looked at." },
    { "workers", CONF_U32(struct sample_conf, workers), .preset = "0", .help = "How many threads." },
    { 0 },
};

static const struct conf_type sample_type = { .name = "configuration",
                                              .size = sizeof(struct sample_conf),
                                              .fields = sample_fields };
