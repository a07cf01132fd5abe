#include "route/retry_conf.h"

#include <string.h>

#include "conf/decode.h"

#define ON_MAX 16
#define MS_MAX (24 * 3600 * 1000)

static int parse_on(struct slice text, void *out, struct err *err)
{
    uint32_t *value = out;
    uint32_t status = 0;
    if (slice_equal(text, SLICE("connect"))) {
        *value = RETRY_ON_CONNECT;
        return 0;
    }
    if (slice_equal(text, SLICE("reset"))) {
        *value = RETRY_ON_RESET;
        return 0;
    }
    for (size_t i = 0; text.len == 3 && i < 3; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            status = 0;
            break;
        }
        status = status * 10 + (uint32_t)(text.data[i] - '0');
    }
    if (status < 400 || status > 599)
        return err_set(err,
                       "\"%.*s\" is no failure that could be tried again; write connect, reset, or a status "
                       "from 400 to 599 such as 503",
                       SLICE_ARGS(text));
    *value = status;
    return 0;
}

void retry_on_print(const void *value, struct text *out)
{
    uint32_t what = *(const uint32_t *)value;
    if (what == RETRY_ON_CONNECT)
        TEXT_LITERAL(out, "connect");
    else if (what == RETRY_ON_RESET)
        TEXT_LITERAL(out, "reset");
    else
        text_printf(out, "%u", what);
}

static const struct conf_type on_type = {
    .name = "failure",
    .size = sizeof(uint32_t),
    .parse = parse_on,
    .print = retry_on_print,
    .pattern_help = "connect, reset or 503",
};

static const struct conf_field hedge_fields[] = {
    { "percentile", CONF_U32(struct hedge_conf, percentile), .min = HEDGE_PERCENTILE_MIN,
      .max = HEDGE_PERCENTILE_MAX, .preset = "95",
      .help = "How many of a hundred answers begin sooner than another server is asked: of late, at the "
              "server that is in the middle of the pool's by this." },
    { "at_least", CONF_MSEC(struct hedge_conf, at_least_ms), .min = 1, .max = 600000, .preset = "10ms",
      .help = "But not before this time." },
    { 0 },
};

static const struct conf_type hedge_type = {
    .name = "hedge", .size = sizeof(struct hedge_conf), .fields = hedge_fields, .short_form = "percentile"
};

static void check(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct retry_conf *r = object;
    if (r->hedge && r->attempts < 2)
        conf_decode_fault(d, node, "hedge", "write `attempts: 2` or more, or leave hedge out",
                          "to ask another server as well is a second attempt, and only one is allowed");
}

#define RETRY_ROWS                                                                                           \
    { "attempts",    CONF_U32(struct retry_conf, attempts),                                                  \
      .min = 1,      .max = 16,                                                                              \
      .preset = "3", .help = "How many attempts an exchange may have in all, the first included." },         \
        { "on", CONF_LIST(struct retry_conf, on, &on_type), .max = ON_MAX, .preset = "[connect, reset]",     \
          .help =                                                                                            \
              "After what another server is tried. `connect`: no byte of the request can have reached the "  \
              "server. `reset`: the connection broke before a byte of its answer. A status: the server "     \
              "answered with it. But for `connect`, only requests that may be repeated: by their method, "   \
              "or because the route says `idempotent`." },                                                   \
        { "per_try",                                                                                         \
          CONF_MSEC(struct retry_conf, per_try_ms),                                                          \
          .min = 1,                                                                                          \
          .max = MS_MAX,                                                                                     \
          .preset = "off",                                                                                   \
          .flags = CONF_MAY_BE_OFF,                                                                          \
          .help =                                                                                            \
              "How long a server may take to begin its answer before another one is asked in its place. If " \
              "none may be, it is waited for: a request never fails by this." },                             \
        { "total",                                                                                           \
          CONF_MSEC(struct retry_conf, total_ms),                                                            \
          .min = 1,                                                                                          \
          .max = MS_MAX,                                                                                     \
          .preset = "off",                                                                                   \
          .flags = CONF_MAY_BE_OFF,                                                                          \
          .help = "How long after a request's beginning it may still be tried again." },                     \
        { "hedge", CONF_OPTIONAL(struct retry_conf, hedge, &hedge_type),                                     \
          .help =                                                                                            \
              "Where a request may be repeated and its server takes longer than most do, another server is " \
              "asked as well, and the first good answer is taken. Nobody is if absent; `{}` will do." },     \
    {                                                                                                        \
        "buffer", CONF_BYTES(struct retry_conf, buffer_bytes),                                               \
            .max = 1 << 20, .preset = "16KiB",                                                               \
            .help = "How much of a request's body is kept so that it can be sent again."                     \
    }

static const struct conf_field fields[] = { RETRY_ROWS, { 0 } };

const struct conf_type retry_conf_type = { .name = "route retry",
                                           .size = sizeof(struct retry_conf),
                                           .fields = fields,
                                           .short_form = "attempts",
                                           .check = check };

static const struct conf_field budget_fields[] = {
    { "share", CONF_U32(struct retry_budget_conf, share), .min = 1, .max = 1000, .preset = "20",
      .help = "So many requests may be sent again for a hundred that come, and so many of a hundred that go "
              "on at a time." },
    { "reserve", CONF_U32(struct retry_budget_conf, reserve), .max = 100000, .preset = "3",
      .help = "So many may at first, and on top of the share at a time, for pools with few requests." },
    { 0 },
};

static const struct conf_type budget_type = { .name = "retry budget",
                                              .size = sizeof(struct retry_budget_conf),
                                              .fields = budget_fields,
                                              .short_form = "share" };

static const struct conf_field pool_fields[] = {
    RETRY_ROWS,
    { "budget", CONF_OBJECT(struct pool_retry_conf, budget, &budget_type),
      .help = "How many requests may be sent again that a server may have seen, so that servers in trouble "
              "do not get more to do. Of all workers and routes together; what exceeds it ends as its last "
              "attempt did." },
    { 0 },
};

const struct conf_type pool_retry_conf_type = { .name = "retry",
                                                .size = sizeof(struct pool_retry_conf),
                                                .fields = pool_fields,
                                                .short_form = "attempts",
                                                .check = check };

bool retry_conf_names(const struct retry_conf *conf, uint32_t what)
{
    const uint32_t *on = conf->on.data;
    for (uint32_t i = 0; i < conf->on.count; i++)
        if (on[i] == what) return true;
    return false;
}
