/* For tests: a transport that opens over several turns, takes all that it is given, and passes it on as it is let: what one
 * that encrypts does. */
#pragma once

#include "net/transport.h"

struct keeping {
    char rest[1 << 16];
    size_t begin, end;
    size_t lets_pass;      /* so many bytes may still leave; the rest waits */
    unsigned opens_left;   /* so many calls of open() are not enough */
    bool fails_to_open;    /* with ECONNABORTED, once those are over */
    uint8_t fault;         /* what that is called; END_NONE: as errno says */
    bool says_it_is_alive; /* whatever has come */
    unsigned closed, moved;
    struct transport *at; /* where it is now; NULL: closed */
};

/* `t` is open, over a descriptor. */
void keeping_over(struct keeping *k, struct transport *t);
/* What waits may leave from now on. */
void keeping_let_pass(struct keeping *k, size_t len);
