/* discovery/place.h: what may stand where a pool's server has its address, and leads to any number of them: a name to ask name
 * servers for, a file. It is kept as text in the address's own memory, so that configurations that have places are compared,
 * printed and copied as others are. Pure. */
#pragma once

#include "base/address.h"

enum place_kind {
    PLACE_DNS,    /* "app.internal:8080" */
    PLACE_SRV,    /* "srv:_http._tcp.app.internal" */
    PLACE_FILE,   /* "file:/etc/weir/app.servers" */
    PLACE_DOCKER, /* "docker:app=web": containers with that label; "docker:app=web@/run/podman/podman.sock" */
    PLACE_KINDS
};

/* As long as a path of a unix socket, whose memory it has. */
#define PLACE_TEXT_MAX 107u

struct place {
    enum place_kind kind;
    struct slice text; /* all of it, as it is written */
    struct slice name; /* who or what is asked: the name, the path */
    uint16_t port;     /* of all that a name leads to; 0: each has its own */
};

/* Text that is no address. -1: it is no place either; then `err` is set anew if it looks like one, and is what it was
 * else. */
MUST_CHECK int place_parse(struct slice text, struct address *out, struct err *err);
bool place_is_one(const struct address *a);
/* Slices of `a`, of which place_is_one(). */
struct place place_of(const struct address *a);
/* "dns", "srv", "file", "docker" */
const char *place_kind_name(enum place_kind kind);
