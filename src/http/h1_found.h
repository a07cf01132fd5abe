/* http/h1_found.h: what the fields of one HTTP/1 head say of its framing, its connection and its host,
 * noted one by one as the parser stores them. Within one call of the parser. */
#pragma once

#include "http/h1_value.h"

struct h1_found {
    /* The first fault of what a field means, if it has a detail: kept back until the head is known to be
     * whole. */
    const char *detail, *at;
    enum end_reason reason;
    bool is_response, is_trailer;
    bool has_upgrades;                              /* more than one */
    bool closes, keeps, asks_upgrade, names_fields; /* Connection's options */
    bool accepts_trailers;                          /* TE has "trailers" */
    uint32_t option_count;
    const struct http_field *host, *upgrade, *length, *encoding, *expect;
    uint64_t content_length;
    struct h1_framing framing;
    struct h1_codings codings;
};

/* The sets of fields that are noted, and that are hop by hop (RFC 9110 7.6.1): bits by enum http_field_id. */
#define H1_FIELD_BIT(id) (1u << HTTP_FIELD_##id)
#define H1_FOUND_NOTED                                                                                    \
    (H1_FIELD_BIT(HOST) | H1_FIELD_BIT(CONTENT_LENGTH) | H1_FIELD_BIT(TRANSFER_ENCODING) |                \
     H1_FIELD_BIT(CONNECTION) | H1_FIELD_BIT(UPGRADE) | H1_FIELD_BIT(EXPECT) | H1_FIELD_BIT(KEEP_ALIVE) | \
     H1_FIELD_BIT(TE))
#define H1_HOP_BY_HOP                                                                       \
    (H1_FIELD_BIT(CONNECTION) | H1_FIELD_BIT(PROXY_CONNECTION) | H1_FIELD_BIT(KEEP_ALIVE) | \
     H1_FIELD_BIT(TE) | H1_FIELD_BIT(TRANSFER_ENCODING) | H1_FIELD_BIT(UPGRADE))
_Static_assert(HTTP_FIELD_COUNT <= 32, "the sets of fields are 32 bits wide");

/* A field of H1_FOUND_NOTED; it must stay where it is. */
void h1_found_note(struct h1_found *found, const struct http_field *f);
/* Only the first counts. */
void h1_found_keep_back(struct h1_found *found, const char *at, enum end_reason reason, const char *detail);

/* Once all fields are noted, and head->version, fields and field_count are set: body, content_length,
 * upgrade, accepts_trailers, and is_dropped of what Connection names. NULL, or what is wrong (RFC 9112 6.3). */
const char *h1_found_frame(const struct h1_found *found, struct http_head *head, struct h1_framing *framing);
