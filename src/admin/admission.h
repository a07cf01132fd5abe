/* admin/admission.h: whether a request to the API is let in, and which route of the table it is for. Control thread. */
#pragma once

#include "admin/guard.h"
#include "admin/router.h"

struct admission {
    const struct guard *guard; /* borrowed, as all */
    const struct admin_route *routes;
    char *memory; /* for the target's parts: a byte more than the target has; lives as long as the request */
    uint64_t now_ms;
    bool is_reserved; /* all usual connections are in use: for health checks alone */
    bool has_body;
};

/* Fills in who asks, the route, and of path and query what it asks for. False: *a is the answer, which says why not. */
bool admission_read(const struct admission *by, const struct http_head *head, struct admin_request *rq,
                    struct answer *a);
