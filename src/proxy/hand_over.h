/* proxy/hand_over.h: a connection that has come to a worker which has more than its share (proxy/share.h) goes to another, by mail,
 * before a byte of it is read. The worker's thread. */
#pragma once

#include <stdbool.h>

struct listener_worker;

/* A connection that has come to this worker, nothing of which is read yet: false if it is to be served here; else `fd` is
 * another's. */
bool hand_over_begin(struct listener_worker *lw, int fd);
