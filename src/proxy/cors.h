/* proxy/cors.h: what answers say of pages of other origins (the Fetch standard, 3.3), where a route or listener has `cors:`.
 * Whatever a server says of that itself is taken out: there would be two words, which a browser takes for none. */
#pragma once

#include "proxy/exchange.h"

/* The route's, else the listener's; NULL: servers speak for themselves. `r` may be NULL. */
const struct cors_conf *cors_of(const struct route_set *l, const struct route *r);
/* Whether it asks what another request may do. */
bool cors_is_preflight(const struct http_head *head);
/* The method of that one. */
struct slice cors_method_meant(const struct http_head *head);

#define CORS_FIELDS 4u
/* What any answer says: their number. Vary, which any origin needs not, is the last. Borrowed from the request and the configuration. */
uint32_t cors_fields(const struct exchange *x, struct http_field out[CORS_FIELDS]);
#define CORS_PREFLIGHT_FIELDS 4u
/* What the answer to a preflight says besides. */
uint32_t cors_preflight_fields(const struct exchange *x, struct http_field out[CORS_PREFLIGHT_FIELDS]);
/* Of a server's response, to which cors_fields() are added. Whether it says by itself that another origin may be told another thing: then
 * the Vary among them is one too many. */
bool cors_take_out(struct http_field *fields, uint32_t count);
