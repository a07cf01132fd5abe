#include "route/gate_conf.h"

#define BLOCKS_MAX 100000

#define ADDRESS_ROWS                                                                                         \
    { "allow", CONF_LIST(struct gate_conf, allow, &conf_cidr_type), .max = BLOCKS_MAX,                       \
      .help = "Address blocks that may pass. If there are any, nobody else may." },                          \
    {                                                                                                        \
        "deny", CONF_LIST(struct gate_conf, deny, &conf_cidr_type),                                          \
            .max = BLOCKS_MAX,                                                                               \
            .help = "Address blocks that may not pass. Of several blocks that hold an address the smallest " \
                    "decides, and "                                                                          \
                    "`deny` where the same block is in both lists."                                          \
    }

static const struct conf_field gate_fields[] = {
    ADDRESS_ROWS,
    { "connections_per_client", CONF_U32(struct gate_conf, connections_per_client), .max = 1000000,
      .preset = "0",
      .help =
          "How many connections one client may have open at a time: an IPv4 address, or an IPv6 /64. 0 is no "
          "limit." },
    { "connections", CONF_U32(struct gate_conf, connections), .max = 100000000, .preset = "0",
      .help = "How many connections there may be at a time in all. 0 is no limit." },
    { 0 },
};

const struct conf_type gate_conf_type = { .name = "gate",
                                          .size = sizeof(struct gate_conf),
                                          .fields = gate_fields };

static const struct conf_field route_gate_fields[] = { ADDRESS_ROWS, { 0 } };

const struct conf_type route_gate_conf_type = { .name = "route gate",
                                                .size = sizeof(struct gate_conf),
                                                .fields = route_gate_fields };
