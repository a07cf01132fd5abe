/* discovery/server_list.h: servers as a file lists them, a line each:
 *
 *   # the address, and what else is to be said of it
 *   10.0.0.1:8080
 *   10.0.0.2:8080 weight=3 name=big
 *
 * Pure. */
#pragma once

#include "base/err.h"
#include "discovery/source.h"

#define SERVER_LIST_BYTES_MAX (1u << 20)
/* More than that are not read. */
#define SERVER_LIST_MAX 4096u

/* -1: the sentence says which line is wrong, and nothing of the list is to be used. `out` has room for SERVER_LIST_MAX. */
MUST_CHECK int server_list_read(struct slice text, struct found *out, uint32_t *count, struct err *err);
