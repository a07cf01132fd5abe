/* logs/unpack.h: the bytes of a file as they were before it was packed: plain, gzip (RFC 1952) or zstd (RFC 8878), told
 * by their first bytes, several one after another included. For whole files; blocks. One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* The largest zstd window, as a power of two: 128 MiB, what `zstd --ultra` makes without --long. It is taken only if a
 * file asks for it. */
#define UNPACK_WINDOW_LOG 27

struct unpack;

/* `fd` is borrowed and read from where it stands; a pipe will do. `name` is borrowed and stands in errors. */
MUST_CHECK int unpack_new(struct unpack **out, int fd, const char *name, struct err *err);
void unpack_free(struct unpack *u); /* NULL is fine */
/* The next bytes, at most `cap` > 0; *len is 0 only at the end. -1: the file cannot be read, is damaged or ends within a
 * member; the sentence says at which byte of the file. What came before was given, of zstd except the last blocks. */
MUST_CHECK int unpack_read(struct unpack *u, char *out, size_t cap, size_t *len, struct err *err);
/* Bytes of the file, packed as they are, that were used so far. */
uint64_t unpack_consumed(const struct unpack *u);
