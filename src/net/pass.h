/* net/pass.h: messages with descriptors, from one process to another of the same user, over a unix socket of type
 * SOCK_SEQPACKET: each arrives as a whole or not at all. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define PASS_TEXT_MAX 4096u
#define PASS_FDS_MAX 64u /* the kernel takes 253 */

struct pass_message {
    char text[PASS_TEXT_MAX + 1]; /* terminated; a byte 0 within it ends it earlier */
    int fds[PASS_FDS_MAX];        /* close-on-exec; whoever received them closes them */
    uint32_t fd_count;
};

enum pass { PASS_OK, PASS_AGAIN, PASS_END /* the other end is closed */, PASS_FAILED /* errno */ };

/* Never blocks, whatever the socket is: PASS_AGAIN means that the other end has not read for long. The descriptors stay the
 * caller's. A text over PASS_TEXT_MAX is cut. */
enum pass pass_send(int socket, struct slice text, const int *fds, uint32_t fd_count);
/* Blocks where the socket does (SO_RCVTIMEO bounds it: PASS_AGAIN). What is too long is PASS_FAILED, and closed. */
enum pass pass_receive(int socket, struct pass_message *out);
void pass_close_fds(struct pass_message *m);
/* Whether who connected to this socket, or listens behind it, is of this process's own user. */
bool pass_is_own_user(int socket);
