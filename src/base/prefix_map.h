/* base/prefix_map.h: a number for each address, by the smallest of many blocks that holds it. Immutable, shared by all threads;
 * with a million blocks a look takes 50 to 150 ns (bench-gate), a search in a tree whose nodes are one cache line.
 *
 * IPv4 is a world of its own, also where addresses are kept as IPv6: ::/0 does not hold 192.0.2.1. */
#pragma once

#include <stddef.h>

#include "base/address.h"

struct prefix {
    struct cidr block;
    uint8_t value;
};

struct prefix_map;

/* `prefixes` are the caller's, in any order; of the same block twice the higher value counts. `otherwise`: of addresses in
 * none. NULL: out of memory. */
struct prefix_map *prefix_map_new(const struct prefix *prefixes, uint32_t count, uint8_t otherwise);
void prefix_map_free(struct prefix_map *m); /* NULL is fine */
uint8_t prefix_map_value(const struct prefix_map *m, const struct ip *ip);
