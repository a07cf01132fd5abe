/* logs/filter_tree.h: a compiled filter, as filter.c makes it and filter_match.c walks it. */
#pragma once

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/address.h"
#include "logs/entry.h"
#include "logs/filter.h"

enum filter_kind {
    FILTER_ALL,
    FILTER_ANY,
    FILTER_NOT,
    FILTER_COMPARE,
    FILTER_ONE_OF,
    FILTER_IN_BLOCKS,
    FILTER_MATCHES
};
enum filter_operator {
    FILTER_EQUAL,
    FILTER_DIFFERS,
    FILTER_LESS,
    FILTER_AT_MOST,
    FILTER_MORE,
    FILTER_AT_LEAST
};
enum filter_subject {
    FILTER_STATUS,
    FILTER_BYTES,
    FILTER_REQUEST,
    FILTER_UPSTREAM,
    FILTER_TIME,
    FILTER_CLIENT,
    FILTER_METHOD,
    FILTER_PATH,
    FILTER_FIELD
};

/* A node's operands lie in nodes[first], and from there by `next`. Values of lists likewise in values[]. */
struct filter_node {
    uint8_t kind, op, subject;
    uint8_t field; /* enum log_field; LOG_FIELD_MAX: not met so far */
    uint32_t first, next;
    struct slice name; /* of a variable; in text */
    uint64_t number;
    uint32_t value_first, value_count;
    pcre2_code *regex;
    bool is_negated; /* !~ */
};

struct filter_value {
    struct slice text; /* in memory */
    struct cidr block;
    uint64_t number;
};

#define FILTER_NONE UINT32_MAX

struct filter {
    uint32_t root, node_count, value_count;
    struct filter_node nodes[FILTER_NODES_MAX];
    struct filter_value values[FILTER_NODES_MAX];
    uint32_t text_used;
    char text[FILTER_TEXT_MAX];
    uint64_t gave_up;
    pcre2_match_data *match;
    pcre2_match_context *context;
};

/* Whether the node compares numbers. */
static inline bool filter_is_number(const struct filter_node *n)
{
    return n->subject <= FILTER_TIME;
}
