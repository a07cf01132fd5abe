#include "route/rate_conf.h"

#include "base/number.h"
#include "conf/decode.h"
#include "conf/tree.h"

#define PERIOD_MAX_S 86400u
#define PER_SECOND_MAX 1000000u
#define COUNT_MAX 1000000000u
#define BURST_MAX 1000000000u
#define EXAMPLE "write it like 100/s, 10/m or 5/10s"

static const struct {
    char letter;
    uint32_t seconds;
} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };

static int parse_period(struct slice text, uint32_t *seconds, struct err *err)
{
    uint64_t times = 1;
    uint32_t unit = 0;
    for (size_t i = 0; text.len && i < sizeof(units) / sizeof(*units); i++)
        if (text.data[text.len - 1] == units[i].letter) unit = units[i].seconds;
    struct slice number = { text.data, text.len ? text.len - 1 : 0 };
    if (!unit || (number.len && !number_u64(number, &times)))
        return err_set(err, "\"%.*s\" is no time of a rate; " EXAMPLE, SLICE_ARGS(conf_clip(text)));
    if (!times || times > PERIOD_MAX_S / unit)
        return err_set(err, "a rate's time is a second to a day; " EXAMPLE);
    *seconds = (uint32_t)times * unit;
    return 0;
}

static int parse_amount(struct slice text, void *out, struct err *err)
{
    struct rate_amount *amount = out;
    const char *slash = text.len ? memchr(text.data, '/', text.len) : NULL;
    if (!slash) return err_set(err, "\"%.*s\" is no rate; " EXAMPLE, SLICE_ARGS(conf_clip(text)));
    struct slice number = slice_trim((struct slice){ text.data, (size_t)(slash - text.data) });
    struct slice period = slice_trim((struct slice){ slash + 1, text.len - (size_t)(slash + 1 - text.data) });
    uint64_t count;
    if (!number_u64(number, &count))
        return err_set(err, "\"%.*s\" is no number of requests; " EXAMPLE, SLICE_ARGS(conf_clip(number)));
    if (parse_period(period, &amount->period_s, err) < 0) return -1;
    if (!count) return err_set(err, "a rate of 0 would refuse everybody; a gate does that");
    if (count > COUNT_MAX || count > (uint64_t)PER_SECOND_MAX * amount->period_s)
        return err_set(err, "a rate may be %u/s at most; leave it out for no limit", PER_SECOND_MAX);
    amount->count = (uint32_t)count;
    return 0;
}

void rate_amount_print(const struct rate_amount *amount, struct text *out)
{
    size_t at = 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++)
        if (amount->period_s && amount->period_s % units[i].seconds == 0) at = i;
    uint32_t times = amount->period_s / units[at].seconds;
    text_printf(out, "%u/", amount->count);
    if (times != 1) text_printf(out, "%u", times);
    text_add_char(out, units[at].letter);
}

static void print_amount(const void *value, struct text *out)
{
    rate_amount_print(value, out);
}

static const struct conf_type amount_type = { .name = "rate of requests",
                                              .size = sizeof(struct rate_amount),
                                              .parse = parse_amount,
                                              .print = print_amount,
                                              .pattern_help = "100/s" };

/* `all` has no source: everybody has one account. */
static int parse_key(struct slice text, void *out, struct err *err)
{
    struct http_template *key = out;
    if (!slice_equal(text, SLICE("all"))) return http_template_parse_source(text, key, err);
    *key = (struct http_template){ .text_len = (uint16_t)text.len };
    memcpy(key->text, text.data, text.len);
    return 0;
}

static void print_key(const void *value, struct text *out)
{
    http_template_print(value, out);
}

static const struct conf_type key_type = { .name = "key of a rate",
                                           .size = sizeof(struct http_template),
                                           .parse = parse_key,
                                           .print = print_key,
                                           .pattern_help = "client" };

/* In the order of enum rate_tells. */
static const char *const tells_names[] = { "refused", "all", "nobody", NULL };
static const struct conf_type tells_type = { .name = "who is told of a rate", .names = tells_names };

static void check_rate(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct rate_conf *c = object;
    if (!c->requests.count) return; /* that is told already */
    if (!c->burst) c->burst = c->requests.count;
    uint64_t interval_ns = rate_interval_ns(c);
    /* What is kept of a key is a time to come: not so far away that sums of them could wrap. */
    if (c->burst > (uint64_t)INT64_MAX / 4 / interval_ns)
        conf_decode_fault(d, node, "burst", "write less, or a higher rate",
                          "a burst of %u would take centuries to be made up for", c->burst);
}

static const struct conf_field fields[] = {
    { "requests", CONF_CUSTOM(struct rate_conf, requests, &amount_type), .flags = CONF_REQUIRED,
      .help = "How many in a time, for each key: `100/s`, `10/m`, `1000/d`, `5/10s`." },
    { "burst", CONF_U32(struct rate_conf, burst), .max = BURST_MAX, .preset = "0",
      .help = "How many may come at once after a pause; 0 is as many as `requests` counts." },
    { "key", CONF_CUSTOM(struct rate_conf, key, &key_type), .preset = "client",
      .help = "Who is counted as one: `client` (an IPv4 address, an IPv6 /64), `header:NAME`, `cookie:NAME`, "
              "text with sources, or `all` for everybody together. A request without it is counted by its "
              "client." },
    { "delay", CONF_MSEC(struct rate_conf, delay_ms), .max = 60000, .preset = "off", .flags = CONF_MAY_BE_OFF,
      .help = "How long a request over the burst may be held back until the rate allows it; what would take "
              "longer is refused with 429. Off refuses at once." },
    { "keys", CONF_U32(struct rate_conf, keys), .min = 64, .max = 4000000, .preset = "65536",
      .help = "For about how many keys at a time there is memory, some 32 bytes each; beyond that those "
              "that have asked least are forgotten." },
    { "tells", CONF_ENUM(struct rate_conf, tells, &tells_type), .preset = "refused",
      .help = "Whose response has RateLimit and RateLimit-Policy fields: that of a refused request, of "
              "`all`, or `nobody`'s." },
    { "dry", CONF_BOOL(struct rate_conf, is_dry), .preset = "false",
      .help = "It only counts and says what it would have done." },
    { 0 },
};

const struct conf_type rate_conf_type = { .name = "rate limit",
                                          .size = sizeof(struct rate_conf),
                                          .fields = fields,
                                          .short_form = "requests",
                                          .check = check_rate };
