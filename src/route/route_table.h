/* route/route_table.h: what a table is made of, for route_table.c, which builds it, and route.c, which
 * searches. */
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "route/route.h"

/* A condition on a field or an argument: see struct route_condition. */
enum route_test { ROUTE_IS, ROUTE_IS_NOT, ROUTE_IS_THERE, ROUTE_IS_ABSENT };

struct route_probe {
    struct slice name, value; /* in table->text; names of headers in lower case */
    uint8_t test;             /* enum route_test */
    uint8_t field_id;         /* of a header: enum http_field_id */
};

/* One row's conditions beyond host and path. */
struct route_candidate {
    uint32_t index;                      /* the row's */
    uint32_t methods;                    /* bit by enum http_method; 0 and no other_methods: any */
    uint32_t first_method, method_count; /* of table->methods: those without a bit */
    uint32_t first_probe, header_count, query_count; /* of table->probes */
    uint32_t first_client, client_count;             /* of table->clients */
    uint32_t scheme;                                 /* enum route_scheme */
    const struct route_not_conf * not ;              /* the row's */
    pcre2_code *regex;                               /* NULL: the path is decided already */
};

/* Candidates in the order in which they are asked. */
struct route_list {
    uint32_t first, count;
};

/* The routes of one host that have one text for a path. */
struct route_entry {
    uint64_t
        head; /* the text's first eight bytes as one number, the first the highest, short ones with zeros */
    uint32_t at, len; /* of the text, in table->text */
    struct route_list exact,
        prefix; /* those that take just this path; those that take all that begin with it */
    uint32_t
        next_shorter; /* the entry with the longest prefix route that this text begins with; ROUTE_NONE */
};

/* One host's entries, in order of their texts, and its regular expressions in the order of the file. */
struct route_group {
    uint32_t first, count;
    struct route_list regexes;
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
    struct route_candidate *candidates;
    struct route_probe *probes;
    struct slice *methods; /* in text */
    struct cidr *clients;
    uint32_t candidate_count, probe_count, method_count, client_count;
    uint32_t host_mask;
    uint32_t any_group;                              /* of routes for any host; ROUTE_NONE */
    uint64_t wildcard_lens[ROUTE_HOST_MAX / 64 + 1]; /* bit n: there is a wildcard of n bytes */
    bool has_hosts, has_wildcards, has_regexes;
};

struct route_scratch {
    pcre2_match_data *match;
    pcre2_match_context *context;
};

/* How many groups matched, and where (borrowed until the next match); negative: it does not match, or gave up. */
int route_scratch_match(struct route_scratch *s, const pcre2_code *regex, struct slice subject,
                        const PCRE2_SIZE **ends);

/* In lower case, without port and one last dot. Returns the length, 0 if it is longer than any host. */
uint32_t route_fold_host(struct slice host, char out[ROUTE_HOST_MAX]);
uint64_t route_hash_host(const char *host, uint32_t len);
uint64_t route_head_of(const char *text, size_t len);
