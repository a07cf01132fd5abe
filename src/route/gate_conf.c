#include "route/gate_conf.h"

#include "conf/arena.h"
#include "conf/decode.h"
#include "conf/decoding.h"
#include "route/gate.h"

#define BLOCKS_MAX 100000
#define FILES_MAX 64

static void drop_slot(void *slot)
{
    gate_slot_free(slot);
}

static void check_gate(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct gate_conf *conf = object;
    const char *key;
    struct err err;
    if (!conf->allow.count && !conf->deny.count && !conf->allow_files.count && !conf->deny_files.count)
        return;
    uint64_t stamp = gate_conf_stamp(conf); /* before they are read */
    struct gate_rules *rules = gate_rules_new(conf, &key, &err);
    if (!rules) {
        conf_decode_fault(d, node, key, "", "%s", err.text);
        return;
    }
    conf->slot = gate_slot_new(rules);
    if (!conf->slot) {
        gate_rules_free(rules);
        conf_decode_set_short(d);
        return;
    }
    conf->slot->stamp = stamp;
    if (!conf_arena_own(d->arena, conf->slot, drop_slot)) conf->slot = NULL;
}

#define FILE_ROWS                                                                                          \
    { "allow_files", CONF_STRINGS(struct gate_conf, allow_files), .max = FILES_MAX,                        \
      .help = "Files with more blocks that may pass, one a line; what is behind a blank, `#` or `;` is a " \
              "remark. They are watched, and replaced while weir runs." },                                 \
    {                                                                                                      \
        "deny_files", CONF_STRINGS(struct gate_conf, deny_files),                                          \
            .max = FILES_MAX,                                                                              \
            .help = "Likewise files with blocks that may not pass, a million of them if need be."          \
    }
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
    FILE_ROWS,
    { "connections_per_client", CONF_U32(struct gate_conf, connections_per_client), .max = 1000000,
      .preset = "0",
      .help =
          "How many connections one client may have open at a time: an IPv4 address, or an IPv6 /64. 0 is no "
          "limit." },
    { "connections", CONF_U32(struct gate_conf, connections), .max = 100000000, .preset = "0",
      .help = "How many connections there may be at a time in all. 0 is no limit." },
    { 0 },
};

const struct conf_type gate_conf_type = {
    .name = "gate", .size = sizeof(struct gate_conf), .fields = gate_fields, .check = check_gate
};

static const struct conf_field route_gate_fields[] = { ADDRESS_ROWS, FILE_ROWS, { 0 } };

const struct conf_type route_gate_conf_type = {
    .name = "route gate", .size = sizeof(struct gate_conf), .fields = route_gate_fields, .check = check_gate
};
