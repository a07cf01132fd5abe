#include "health/ejection_conf.h"

#include "conf/decode.h"

static void check(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct ejection_conf *c = object;
    if (c->min_ms > c->max_ms)
        conf_decode_fault(d, node, conf_node_get(node, "min") ? "min" : "max", "let min be at most max",
                          "an ejection cannot begin with %llu ms and end with at most %llu ms",
                          (unsigned long long)c->min_ms, (unsigned long long)c->max_ms);
    if (c->latency == 1)
        conf_decode_fault(d, node, "latency", "write 3 for three times, or 0 for never",
                          "half of all servers are slower than the median");
}

#define ON_END_MAX 1000

static const struct conf_field fields[] = {
    { "enabled", CONF_BOOL(struct ejection_conf, is_enabled), .preset = "true",
      .help =
          "Whether servers are taken out for a while by what is seen of them; `ejection: false` for short." },
    { "connect_failures", CONF_U32(struct ejection_conf, connect_failures), .max = ON_END_MAX, .preset = "3",
      .help = "After so many connections on end that did not open; 0 is never." },
    { "timeouts", CONF_U32(struct ejection_conf, timeouts), .max = ON_END_MAX, .preset = "3",
      .help = "After so many time-outs on end; 0 is never. Any answer begins the count anew." },
    { "gateway_errors", CONF_U32(struct ejection_conf, gateway_errors), .max = ON_END_MAX, .preset = "5",
      .help = "After so many answers on end of 502, 503 or 504, or that broke off; 0 is never." },
    { "server_errors", CONF_U32(struct ejection_conf, server_errors), .max = ON_END_MAX, .preset = "10",
      .help =
          "After so many failures on end of any kind, of which one was a 5xx; 0 is never. An answer below "
          "500 begins the count anew." },
    { "share", CONF_U32(struct ejection_conf, share), .max = 100, .preset = "30",
      .help = "When so many of a hundred attempts of the last 10 s or so failed, and at least twice as many "
              "as at "
              "the median of the others; 0 is never." },
    { "latency", CONF_U32(struct ejection_conf, latency), .max = 1000, .preset = "0",
      .help = "When its answers of the last 10 s or so took so many times as long to begin as at the median "
              "of the others, "
              "and at least 5 ms longer, on a geometric mean, so that a few slow ones do not count for much; "
              "0 is never." },
    { "attempts", CONF_U32(struct ejection_conf, attempts), .min = 1, .max = 1000000, .preset = "20",
      .help = "Fewer attempts in that time say nothing of a share or of latency." },
    { "min", CONF_MSEC(struct ejection_conf, min_ms), .min = 100, .max = 3600000, .preset = "1s",
      .help = "How long the first ejection lasts; each that follows lasts twice as long." },
    { "max", CONF_MSEC(struct ejection_conf, max_ms), .min = 100, .max = 24 * 3600 * 1000, .preset = "30s",
      .help = "No ejection lasts longer; and who has been in for so long begins with `min` again." },
    { "max_ejected", CONF_U32(struct ejection_conf, max_ejected), .max = 100, .preset = "50",
      .help =
          "How many of a hundred servers may be out, by whatever reason, for another to be ejected by its "
          "answers; of two or more servers at least one may. Who cannot be connected to is out in any case: "
          "nothing is lost by that." },
    { 0 },
};

const struct conf_type ejection_conf_type = { .name = "ejection",
                                              .size = sizeof(struct ejection_conf),
                                              .fields = fields,
                                              .short_form = "enabled",
                                              .check = check };
