#include "net/resolver.h"

static const struct conf_field fields[] = {
    { "servers", CONF_LIST(struct resolver_conf, servers, &conf_address_type), .max = 8,
      .help =
          "Name servers with their ports, like 127.0.0.1:53; those of /etc/resolv.conf if there are none." },
    { "timeout", CONF_MSEC(struct resolver_conf, timeout_ms), .min = 10, .max = 60000, .preset = "2s",
      .help = "How long one attempt at a name server may take." },
    { "attempts", CONF_U32(struct resolver_conf, attempts), .min = 1, .max = 10, .preset = "2",
      .help = "How often each name server is asked." },
    { "min_ttl", CONF_MSEC(struct resolver_conf, min_ttl_ms), .max = 86400000, .preset = "1s",
      .help = "Answers are kept at least so long, whatever their TTL." },
    { "max_ttl", CONF_MSEC(struct resolver_conf, max_ttl_ms), .min = 1, .max = 86400000, .preset = "5m",
      .help = "And at most so long." },
    { "failure_ttl", CONF_MSEC(struct resolver_conf, failure_ttl_ms), .max = 3600000, .preset = "1s",
      .help = "How long a name that could not be resolved is not asked for again." },
    { "names", CONF_U32(struct resolver_conf, names), .min = 1, .max = 100000, .preset = "1000",
      .help = "How many names one worker keeps or is asking for at a time." },
    { 0 },
};

const struct conf_type resolver_conf_type = { .name = "resolver",
                                              .size = sizeof(struct resolver_conf),
                                              .fields = fields };
