#include "net/resolver.h"

/* In the order of enum resolver_family. */
static const char *const family_names[] = { "ipv4_first", "ipv6_first", "ipv4", "ipv6", NULL };
static const struct conf_type family_type = { .name = "address family",
                                              .size = sizeof(uint32_t),
                                              .names = family_names };

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
      .help = "How many names one worker keeps or is asking for at a time, for egress." },
    { "family", CONF_ENUM(struct resolver_conf, family, &family_type), .preset = "ipv4_first",
      .help =
          "Which addresses of a name in a pool are its servers. ipv4_first: those of IPv4, or of IPv6 where "
          "the name has none of IPv4; ipv6_first: the other way round; ipv4, ipv6: those alone." },
    { "empty_after", CONF_MSEC(struct resolver_conf, empty_after_ms), .max = 86400000, .preset = "10s",
      .help =
          "How long it must be said of a name in a pool that it does not exist, or of a file that nobody is "
          "in it, before servers that were known go. An answer that does not come never takes one away." },
    { 0 },
};

const struct conf_type resolver_conf_type = { .name = "resolver",
                                              .size = sizeof(struct resolver_conf),
                                              .fields = fields };
