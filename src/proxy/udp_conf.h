/* proxy/udp_conf.h: what a listener of `protocol: udp` says of its sessions. Part of a snapshot. */
#pragma once

#include "conf/field.h"

struct conf_decode;
struct listener_conf;

struct udp_conf {
    uint64_t idle_ms;
    uint64_t buffer_bytes; /* of the socket, for what waits to be read */
    uint32_t responses;    /* to each datagram; 0: nobody knows how many */
    uint32_t sessions;     /* at a time, of all workers */
};

extern const struct conf_type udp_conf_type;

/* Tells what such a listener cannot have, and what only such a one can. */
void udp_conf_check(struct conf_decode *d, const struct conf_node *node, const struct listener_conf *l);
