/* health/grpc_health.h: one call of grpc.health.v1.Health/Check (gRPC's health checking protocol) over an HTTP/2 connection that
 * carries nothing else: the bytes that are said, and what is made of whatever comes back. All of it is bounded, and what is
 * wrong has a name. One loop's thread. */
#pragma once

#include "base/text.h"
#include "net/loop.h"

#define GRPC_HEALTH_SERVICE_MAX 200u

struct grpc_health;

struct grpc_health_question {
    struct slice authority;
    const char *service; /* at most GRPC_HEALTH_SERVICE_MAX bytes; "": the server as a whole */
    bool is_secure;
};

enum grpc_health_step { GRPC_HEALTH_GOES_ON, GRPC_HEALTH_SERVING, GRPC_HEALTH_BAD };

/* NULL: out of memory. */
struct grpc_health *grpc_health_new(struct loop *l);
void grpc_health_free(struct grpc_health *g); /* NULL is fine */
/* The question, and behind it what the connection asked to have confirmed so far: what was written before is always the
 * beginning of what is written later. g NULL: nothing has come yet. */
void grpc_health_write(const struct grpc_health *g, const struct grpc_health_question *q, struct text *out);
/* The next bytes of the answer, cut anywhere. Not again after another step than GRPC_HEALTH_GOES_ON. */
enum grpc_health_step grpc_health_feed(struct grpc_health *g, struct slice bytes);
/* Of GRPC_HEALTH_BAD: a sentence without capital and full stop. */
const char *grpc_health_words(const struct grpc_health *g);
/* Of the answer's head; 0: none has come. */
uint16_t grpc_health_status(const struct grpc_health *g);
