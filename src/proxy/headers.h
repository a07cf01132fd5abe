/* proxy/headers.h: fields that a route sets, adds or removes, and those that weir itself puts into responses. */
#pragma once

#include "proxy/exchange.h"

struct route_headers_conf;

/* How many fields headers_apply() may add. */
uint32_t headers_room(const struct route_headers_conf *conf);
/* Marks what is removed or replaced as dropped, in `fields` and among the first *extra_count of `extra`, and appends
 * what is set and added. -1: out of memory. */
int headers_apply(struct exchange *x, const struct route_headers_conf *conf, struct http_field *fields,
                  uint32_t count, struct http_field *extra, uint32_t *extra_count);
/* Which of a request's trailers pass, moved to the front: their number. */
uint32_t headers_of_request_trailers(const struct exchange *x, struct http_field *fields, uint32_t count);
/* For 1xx and trailers: marks what the route removes or replaces as dropped. Nothing is added. */
void headers_of_other_responses(const struct exchange *x, struct http_field *fields, uint32_t count);
/* The value of Strict-Transport-Security; empty: nothing is said of it. */
struct slice headers_hsts(const struct exchange *x);
/* What a response carries besides the server's own fields: by the route, for the sticky session, for the split, Date.
 * Good until the turn's end. -1: out of memory. */
int headers_of_response(struct exchange *x, struct http_head *head, struct http_send *send);
