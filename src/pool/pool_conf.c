#include "pool/pool_conf.h"

#include "balance/balance.h"

static const struct conf_field server_fields[] = {
    { "name", CONF_STRING(struct server_conf, name), .min = 1, .max = 64,
      .help = "What the server is called in records, metrics and the API; its address if absent." },
    { "address", CONF_CUSTOM(struct server_conf, address, &conf_address_type), .flags = CONF_REQUIRED,
      .help = "Where it listens." },
    { "weight", CONF_U32(struct server_conf, weight), .min = 1, .max = BALANCE_WEIGHT_MAX, .preset = "1",
      .flags = CONF_LIVE, .help = "Its share of the traffic in proportion to the others'." },
    { "max_connections", CONF_U32(struct server_conf, max_connections), .max = 1000000, .preset = "0",
      .help =
          "How many connections all workers together may have open to it, idle ones included; 0 is no cap. "
          "Requests over it wait in the pool's queue." },
    { 0 },
};

const struct conf_type server_conf_type = {
    .name = "server",
    .size = sizeof(struct server_conf),
    .fields = server_fields,
    .short_form = "address",
    .name_from = "address",
};

#define MS_MAX (24 * 3600 * 1000)

static const struct conf_field timeout_fields[] = {
    { "connect", CONF_MSEC(struct pool_timeouts, connect_ms), .min = 1, .max = 600000, .preset = "5s",
      .help = "How long a connection to a server may take to open." },
    { "queue", CONF_MSEC(struct pool_timeouts, queue_ms), .min = 1, .max = MS_MAX, .preset = "5s",
      .help = "How long a request may wait for a server that is not at its cap." },
    { "first_byte", CONF_MSEC(struct pool_timeouts, first_byte_ms), .min = 1, .max = MS_MAX, .preset = "60s",
      .help = "How long a server may take from the end of the request to the first byte of its response." },
    { "response", CONF_MSEC(struct pool_timeouts, response_ms), .min = 1, .max = MS_MAX, .preset = "60s",
      .help = "How long a server may pause within its response, or stop taking the request." },
    { "keep_alive", CONF_MSEC(struct pool_timeouts, keep_alive_ms), .min = 1, .max = MS_MAX, .preset = "60s",
      .help = "How long an idle connection to a server is kept; less where the server is known to close "
              "sooner." },
    { "idle", CONF_MSEC(struct pool_timeouts, idle_ms), .min = 1, .max = MS_MAX, .preset = "10m",
      .help = "How long a tunnel (TCP or upgraded) may be silent in both directions." },
    { "half_closed", CONF_MSEC(struct pool_timeouts, half_closed_ms), .min = 1, .max = MS_MAX,
      .preset = "30s", .help = "How long a tunnel may be silent once one side has closed." },
    { "total", CONF_MSEC(struct pool_timeouts, total_ms), .max = MS_MAX, .preset = "off",
      .flags = CONF_MAY_BE_OFF, .help = "How long an exchange or a tunnel may last in all." },
    { 0 },
};

static const struct conf_type timeouts_type = { .name = "pool timeouts",
                                                .size = sizeof(struct pool_timeouts),
                                                .fields = timeout_fields };

static const struct conf_field queue_fields[] = {
    { "length", CONF_U32(struct pool_queue_conf, length), .max = 1000000, .preset = "1024",
      .help = "How many requests of one worker may wait while every server is at its cap." },
    { 0 },
};

static const struct conf_type queue_type = {
    .name = "queue", .size = sizeof(struct pool_queue_conf), .fields = queue_fields, .short_form = "length"
};

static const struct conf_field retry_fields[] = {
    { "attempts", CONF_U32(struct pool_retry_conf, attempts), .min = 1, .max = 16, .preset = "3",
      .help = "How many attempts an exchange may have in all, the first included." },
    { "buffer", CONF_BYTES(struct pool_retry_conf, buffer_bytes), .max = 1 << 20, .preset = "16KiB",
      .help = "How much of a request's body is kept so that it can be sent again." },
    { 0 },
};

static const struct conf_type retry_type = { .name = "retry",
                                             .size = sizeof(struct pool_retry_conf),
                                             .fields = retry_fields };

static const struct conf_field limit_fields[] = {
    { "head", CONF_BYTES(struct pool_limits_conf, head_bytes), .min = 1024, .max = 64 << 10,
      .preset = "64KiB", .help = "How large a response's head may be." },
    { "headers", CONF_U32(struct pool_limits_conf, headers), .min = 8, .max = 256, .preset = "128",
      .help = "How many fields a response's head may have." },
    { 0 },
};

static const struct conf_type limits_type = { .name = "pool limits",
                                              .size = sizeof(struct pool_limits_conf),
                                              .fields = limit_fields };

static const struct conf_field pool_fields[] = {
    { "name", CONF_STRING(struct pool_conf, name), .min = 1, .max = 64, .help = "What the pool is called." },
    { "balance", CONF_CHOICE(struct pool_conf, balance, &balance_conf_type), .preset = "least_request",
      .help = "How a server is chosen." },
    { "servers", CONF_NAMED(struct pool_conf, servers, &server_conf_type), .min = 1, .max = 4096,
      .flags = CONF_REQUIRED, .help = "The servers that can answer the same request." },
    { "host", CONF_STRING(struct pool_conf, host), .min = 1, .max = 255, .preset = "keep",
      .help = "The Host that servers are sent: `keep` passes the client's on, `server` sends the server's "
              "address, "
              "any other text is sent as it is." },
    { "timeouts", CONF_OBJECT(struct pool_conf, timeouts, &timeouts_type),
      .help = "Time-outs towards its servers." },
    { "queue", CONF_OBJECT(struct pool_conf, queue, &queue_type),
      .help = "Where requests wait while every server is at its cap." },
    { "retry", CONF_OBJECT(struct pool_conf, retry, &retry_type),
      .help = "When a request may go to another server: never if it may have been acted on." },
    { "limits", CONF_OBJECT(struct pool_conf, limits, &limits_type),
      .help = "Bounds on what a server may answer." },
    { "idle_connections", CONF_U32(struct pool_conf, idle_connections), .max = 100000, .preset = "256",
      .help = "How many idle connections one worker keeps to each server." },
    { "max_requests", CONF_U32(struct pool_conf, max_requests), .max = 1000000000, .preset = "0",
      .help = "After how many requests a connection to a server is closed; 0 is never." },
    { 0 },
};

const struct conf_type pool_conf_type = { .name = "pool",
                                          .size = sizeof(struct pool_conf),
                                          .fields = pool_fields };
