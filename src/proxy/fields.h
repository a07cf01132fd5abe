/* proxy/fields.h: which of a request's fields exist for weir and the servers behind it. Decided once, right behind the
 * parser, so that conditions, templates, keys and servers see the same. */
#pragma once

#include "proxy/route_set.h"

/* Marks as dropped what must not pass: names that CGI and WSGI cannot tell from others (RFC 3875 4.1.18 writes "-" and
 * "_" alike), and forwarding fields of a peer that may not speak for others. NULL, or why the request is refused. */
const char *fields_admit(const struct route_set *l, const struct ip *peer, struct http_field *fields,
                         uint32_t count);
/* Whether it is weir's word of who somebody is, or could be taken for it. */
bool fields_are_identity(const struct route_set *l, struct slice name);
/* Whether a server that is handed fields as variables of its environment may take one for the other. */
bool fields_are_alike(struct slice a, struct slice b);
