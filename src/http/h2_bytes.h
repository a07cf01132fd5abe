/* http/h2_bytes.h: bytes in order in a chain of blocks, taken off at the front: frames on their way out, a body that its
 * receiver does not take. One loop's thread. */
#pragma once

#include <sys/uio.h>

#include "base/slice.h"
#include "net/loop.h"

struct h2_bytes {
    struct block *first, *last; /* each begins with where its bytes end */
    uint32_t begin;             /* in the first */
    uint32_t blocks;
    uint64_t len;
};

/* Room for `len` bytes behind the others, in one piece; h2_bytes_add() counts them in. NULL: out of memory, or too many. */
char *h2_bytes_room(struct h2_bytes *b, struct loop *l, size_t len);
void h2_bytes_add(struct h2_bytes *b, size_t len);
/* A copy behind the others. False: out of memory, and nothing has changed. */
MUST_CHECK bool h2_bytes_put(struct h2_bytes *b, struct loop *l, struct slice bytes);
/* What is at the front, in one piece. */
struct slice h2_bytes_front(const struct h2_bytes *b);
/* As pieces, `max` at most; their number. */
int h2_bytes_pieces(const struct h2_bytes *b, struct iovec *iov, int max);
void h2_bytes_drop(struct h2_bytes *b, struct loop *l, size_t len);
void h2_bytes_clear(struct h2_bytes *b, struct loop *l);
