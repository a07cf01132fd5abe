/* proxy/grpc.h: what gRPC says in HTTP/2's fields (the protocol "gRPC over HTTP/2"): statuses that come beside HTTP's, and
 * weir's own answers in its words. Pure, any thread; bodies and messages are never looked into. */
#pragma once

#include "base/text.h"
#include "http/message.h"

/* The canonical statuses are 0 to 16. */
#define GRPC_STATUSES 17u
#define GRPC_NONE 255u /* none was said */

enum grpc_status {
    GRPC_OK,
    GRPC_CANCELLED,
    GRPC_UNKNOWN,
    GRPC_INVALID_ARGUMENT,
    GRPC_DEADLINE_EXCEEDED,
    GRPC_NOT_FOUND,
    GRPC_ALREADY_EXISTS,
    GRPC_PERMISSION_DENIED,
    GRPC_RESOURCE_EXHAUSTED,
    GRPC_FAILED_PRECONDITION,
    GRPC_ABORTED,
    GRPC_OUT_OF_RANGE,
    GRPC_UNIMPLEMENTED,
    GRPC_INTERNAL,
    GRPC_UNAVAILABLE,
    GRPC_DATA_LOSS,
    GRPC_UNAUTHENTICATED,
};

/* A request whose client wants its answer so. */
bool grpc_is_asked(const struct http_head *request);
/* What these fields, of a head or trailers, say; what is none of the canonical ones means GRPC_UNKNOWN. Else GRPC_NONE. */
uint8_t grpc_status_in(const struct http_field *fields, uint32_t count);
/* How long a request gives its call (grpc-timeout), in milliseconds, rounded up. False: it does not say, or says it more than
 * once or in a way that is none; that is between it and its server. */
bool grpc_timeout_in(const struct http_field *fields, uint32_t count, uint64_t *ms);
/* Of an answer of weir's own, which HTTP would give this status to. is_timeout: somebody was waited for in vain. */
enum grpc_status grpc_status_of(uint16_t status, bool is_timeout);
/* "14"; for any status. */
const char *grpc_status_text(enum grpc_status status);
/* Percent-encoded as grpc-message is to be. */
void grpc_put_message(struct text *t, struct slice message);
