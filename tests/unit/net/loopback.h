/* For tests that are a server themselves: places on loopback, and waits for what the kernel has to say of them. */
#pragma once

#include "base/address.h"

/* Each is of a millisecond at most: a bound, not a time that anything is expected to take. */
#define TURNS_MAX 60000

/* Turns until it holds. s: has a `loop`. */
#define UNTIL(s, condition)                                                              \
    do {                                                                                 \
        for (int i_ = 0; i_ < TURNS_MAX && !(condition); i_++) loop_turn(&(s)->loop, 1); \
        assert_true(condition);                                                          \
    } while (0)

/* A socket at 127.0.0.1, at a port that the kernel picks; a SOCK_STREAM listens. type: also with SOCK_NONBLOCK. The caller's. */
int loopback_open(int type, struct address *at);
