/* route/route_table.h: what a table is made of, for route_table.c, which builds it, and route.c, which
 * searches. */
#pragma once

#include "route/route.h"

/* The routes of one host that have one text for a path. */
struct route_entry {
    uint64_t
        head; /* the text's first eight bytes as one number, the first the highest, short ones with zeros */
    uint32_t at, len; /* of the text, in table->text */
    uint32_t exact;   /* the route that takes just this path; ROUTE_NONE */
    uint32_t prefix;  /* the route that takes all that begin with it; ROUTE_NONE */
    uint32_t
        next_shorter; /* the entry with the longest prefix route that this text begins with; ROUTE_NONE */
};

/* One host's entries, in order of their texts. */
struct route_group {
    uint32_t first, count;
};

/* Of the open hash over hosts. A wildcard is kept as ".example.com", which no host is equal to. */
struct route_host {
    uint64_t hash;
    uint32_t at, len;
    uint32_t group; /* ROUTE_NONE: the slot is free */
};

struct route_table {
    char *text;
    struct route_entry *entries;
    struct route_group *groups;
    struct route_host *hosts;
    uint32_t host_mask;
    uint32_t any_group;                              /* of routes for any host; ROUTE_NONE */
    uint64_t wildcard_lens[ROUTE_HOST_MAX / 64 + 1]; /* bit n: there is a wildcard of n bytes */
    bool has_hosts, has_wildcards;
};

/* In lower case, without port and one last dot. Returns the length, 0 if it is longer than any host. */
uint32_t route_fold_host(struct slice host, char out[ROUTE_HOST_MAX]);
uint64_t route_hash_host(const char *host, uint32_t len);
uint64_t route_head_of(const char *text, size_t len);
