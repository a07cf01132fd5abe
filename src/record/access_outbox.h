/* record/access_outbox.h: messages that are to be sent, or were sent and may have to be once more: one behind the other in bounded
 * memory, the oldest first. One thread's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "base/text.h"

#define ACCESS_OUTBOX_MESSAGES 2048u

struct access_outbox {
    char *data;
    uint32_t size, begin, end; /* of bytes: what is kept is from begin to end */
    uint32_t first, count;     /* of messages */
    uint32_t lens[ACCESS_OUTBOX_MESSAGES];
};

MUST_CHECK int access_outbox_init(struct access_outbox *o, uint32_t size, struct err *err);
void access_outbox_fini(struct access_outbox *o);

/* Where the next message may be written; without data: there is no room for one of `len` bytes. Until the next call. */
struct text access_outbox_room(struct access_outbox *o, uint32_t len);
/* It has been, and is `len` bytes. Not 0. */
void access_outbox_add(struct access_outbox *o, uint32_t len);
/* The message that is the n-th, the oldest being 0. */
uint32_t access_outbox_len(const struct access_outbox *o, uint32_t n);
/* All that is kept, in one piece. */
struct slice access_outbox_all(const struct access_outbox *o);
/* The oldest `n` are done with. */
void access_outbox_remove(struct access_outbox *o, uint32_t n);
