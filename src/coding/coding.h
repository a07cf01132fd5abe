/* coding/coding.h: content codings (RFC 9110 8.4.1) that weir can make, and which of them a client takes. Pure, any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

/* Identity, which is none, comes behind those that are made. */
enum coding { CODING_GZIP, CODING_BR, CODING_ZSTD, CODING_IDENTITY, CODING_COUNT };
#define CODINGS_MADE ((uint32_t)CODING_IDENTITY)

/* "gzip", "br", "zstd", "identity" */
const char *coding_name(enum coding c);

/* What Accept-Encoding says of each coding (RFC 9110 12.5.3): thousandths, 0: not acceptable. Zeroed: it says nothing. */
struct coding_wishes {
    uint16_t weight[CODING_COUNT];
    uint16_t others;  /* of "*" */
    uint8_t is_named; /* bit by enum coding */
    bool has_others;  /* "*" is there */
    bool is_given;    /* there is a field, which may be empty */
};

/* Adds one field line's value: several are one list. Whatever cannot be read of an element makes its coding unacceptable: a
 * client that takes no compressed response can read any, the other way round it cannot. */
void coding_wishes_add(struct coding_wishes *w, struct slice value);
/* What it makes of a coding, once all lines were added. Without a field nothing but identity is acceptable: RFC 9110 would
 * allow any, but who says nothing mostly knows nothing of codings. */
uint16_t coding_weight(const struct coding_wishes *w, enum coding c);
/* The coding with the highest weight, of those in `order`, in that order where weights are equal; CODING_IDENTITY if none is
 * acceptable, or if the client would rather have the response as it is. */
enum coding coding_choose(const struct coding_wishes *w, const uint32_t *order, uint32_t count);
