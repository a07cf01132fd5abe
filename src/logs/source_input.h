/* logs/source_input.h: bytes of a log that come of themselves: syslog datagrams (UDP or a unix socket), or standard
 * input. The observer's thread. */
#pragma once

#include "base/address.h"
#include "logs/intake.h"
#include "net/loop.h"

struct source_input;

struct source_input_counts {
    uint64_t bytes, datagrams;
    uint64_t foreign; /* datagrams that are no syslog of RFC 3164 */
    uint64_t dropped; /* by the kernel, because they came too fast */
    bool is_ended;    /* standard input has */
};

/* What a turn of the loop may read. */
#define SOURCE_INPUT_TURN_BYTES (4u << 20)

/* A socket at which syslog comes. A unix socket's file is replaced if nobody listens there. -1: somebody has the address. Any
 * thread. */
MUST_CHECK int source_input_bind(const struct address *address, struct err *err);
/* Of one that is given up before it is read; a unix socket's file goes. */
void source_input_unbind(const struct address *address, int fd);
/* `address` NULL: standard input. `fd`: of source_input_bind(), taken; -1: it is bound now. A unix socket's file is removed at
 * the end. `intake` is borrowed. */
MUST_CHECK int source_input_open(struct source_input **out, struct loop *l, const struct address *address,
                                 int fd, struct intake *intake, struct err *err);
void source_input_close(struct source_input *in); /* NULL is fine */
struct source_input_counts source_input_counts(const struct source_input *in);
/* From now on its bytes go there; borrowed likewise. */
void source_input_use(struct source_input *in, struct intake *intake);
/* Asked before each piece is fed; may be NULL. */
void source_input_before_feed(struct source_input *in, void (*before)(void *context, struct intake *intake),
                              void *context);
