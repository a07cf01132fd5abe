/* proxy/explain_retry.h: whether a request would be sent once more, and whether to a server beside another: the part of an
 * explanation that is of them. Control thread. */
#pragma once

#include "base/json.h"
#include "proxy/choose.h"
#include "proxy/explain_request.h"

/* Adds the member "retry"; there is a pool. */
void explain_retry(const struct explain_request *rq, const struct choose_result *c, struct json *out);
