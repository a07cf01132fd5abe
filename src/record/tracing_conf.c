#include "record/tracing_conf.h"

#include <stdio.h>
#include <string.h>

#include "base/number.h"

#define PRESET_PATH "/v1/traces"

/* What a request line can carry (RFC 9112 3.2). */
static bool is_path(struct slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 127) return false;
    return true;
}

static int parse_endpoint(struct slice text, void *out, struct err *err)
{
    struct trace_endpoint *e = out;
    struct slice prefix = SLICE("http://");
    if (slice_starts_with(text, SLICE("https://")))
        return err_set(err, "spans go over http:// alone; write the address of a collector on this machine, "
                            "which passes them on over TLS");
    if (!slice_starts_with(text, prefix))
        return err_set(err, "it begins with http://, as in http://127.0.0.1:4318/v1/traces");
    struct slice rest = { text.data + prefix.len, text.len - prefix.len };
    const char *slash = memchr(rest.data, '/', rest.len);
    struct slice host = { rest.data, slash ? (size_t)(slash - rest.data) : rest.len };
    struct slice path = slash ? (struct slice){ slash, rest.len - host.len } : SLICE(PRESET_PATH);
    if (address_parse(host, false, &e->address, err) < 0) return -1;
    if (path.len >= sizeof(e->path) || host.len >= sizeof(e->host) || !is_path(path))
        return err_set(err, "its path has more than %u bytes, or some that no request can carry",
                       TRACING_PATH_MAX - 1);
    snprintf(e->host, sizeof(e->host), "%.*s", SLICE_ARGS(host));
    snprintf(e->path, sizeof(e->path), "%.*s", SLICE_ARGS(path));
    return 0;
}

static void print_endpoint(const void *value, struct text *out)
{
    const struct trace_endpoint *e = value;
    text_printf(out, "http://%s%s", e->host, e->path);
}

static const struct conf_type endpoint_type = { .name = "endpoint",
                                                .size = sizeof(struct trace_endpoint),
                                                .parse = parse_endpoint,
                                                .print = print_endpoint,
                                                .pattern_help = "http://127.0.0.1:4318/v1/traces" };

static int parse_share(struct slice text, void *out, struct err *err)
{
    double share;
    if (!number_decimal(text, &share) || share > 1)
        return err_set(err, "it is a part of all requests, from 0 to 1, like 0.01");
    *(double *)out = share;
    return 0;
}

/* Without an exponent, which nobody reads back. */
static void print_share(const void *value, struct text *out)
{
    char digits[32];
    int len = snprintf(digits, sizeof(digits), "%.15f", *(const double *)value);
    while (len > 1 && digits[len - 1] == '0') len--;
    if (digits[len - 1] == '.') len--;
    text_add(out, digits, (size_t)len);
}

static const struct conf_type share_type = { .name = "share",
                                             .size = sizeof(double),
                                             .parse = parse_share,
                                             .print = print_share,
                                             .pattern_help = "0.01" };

static const struct conf_field fields[] = {
    { "endpoint", CONF_CUSTOM(struct tracing_conf, endpoint, &endpoint_type), .flags = CONF_REQUIRED,
      .help =
          "Where spans go, by OTLP over HTTP as JSON: a collector's address on this machine or network." },
    { "sample", CONF_CUSTOM(struct tracing_conf, sample, &share_type), .preset = "0.01",
      .help = "Which part of the requests becomes spans, from 0 to 1, unless a peer in `trust` has decided "
              "it; what fails or is slow does in any case." },
    { "slow", CONF_MSEC(struct tracing_conf, slow_ms), .min = 1, .max = 86400000, .preset = "1s",
      .help = "An exchange that takes as long as this is slow; a tunnel never is." },
    { "service", CONF_STRING(struct tracing_conf, service), .min = 1, .max = 64, .preset = "weir",
      .help = "What the spans say that this weir is called." },
    { 0 },
};

const struct conf_type tracing_conf_type = { .name = "tracing",
                                             .size = sizeof(struct tracing_conf),
                                             .fields = fields };
