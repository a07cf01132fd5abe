/* net/mailbox.h: how threads talk: many writers, one reader (a loop), bounded; the reader is woken through an
 * eventfd only if it may be asleep. */
#pragma once

#include <stdatomic.h>

#include "net/loop.h"

/* What is sent is a small message by value. */
struct mail {
    void (*deliver)(void *reader, const struct mail *m); /* on the reader's thread */
    void *object;
    uint64_t number;
};

struct mailbox;

/* `reader` is passed to deliver(). `slots`: a power of two. Registers with the loop. */
MUST_CHECK int mailbox_new(struct mailbox **out, struct loop *l, void *reader, uint32_t slots,
                           struct err *err);
void mailbox_free(struct mailbox *box);
/* Any thread. false if the box is full: the caller says what then. */
MUST_CHECK bool mailbox_post(struct mailbox *box, const struct mail *m);
/* For one thread whose mail must arrive: what finds no room is kept until the reader has taken what is before it, so that
 * its mail arrives in its order and nobody waits. False: out of memory, or as much is kept as a reader that comes to take
 * any would never let wait (MAILBOX_KEPT_MAX). */
#define MAILBOX_KEPT_MAX 65536u
MUST_CHECK bool mailbox_keep(struct mailbox *box, const struct mail *m);
