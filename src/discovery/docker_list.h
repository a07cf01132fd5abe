/* discovery/docker_list.h: servers among the containers that Docker's API lists (GET /containers/json). A container is one when it
 * runs, is not said to be ill or to be starting still, has an address in a network, and has a port: that of its label
 * `weir.port`, or the only one that its image exposes. `weir.weight` is its weight, `weir.network` the network that is meant
 * where it is in several. Pure. */
#pragma once

#include "base/err.h"
#include "discovery/source.h"

#define DOCKER_LIST_BYTES_MAX (4u << 20)
/* More than that are not read. */
#define DOCKER_LIST_MAX 4096u

struct docker_list {
    uint32_t count;
    uint32_t left_out;                      /* containers that run and lack something */
    char left_out_name[FOUND_NAME_MAX + 1]; /* of one of them */
    const char *left_out_why;               /* static */
    struct found found[DOCKER_LIST_MAX];
};

/* `head`: the answer as it came, of HTTP/1.0, its head included. -1: the sentence says why it is no list. */
MUST_CHECK int docker_list_read(struct slice answer, struct docker_list *out, struct err *err);
