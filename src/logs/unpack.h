/* logs/unpack.h: a file's bytes, whether it is plain, gzip (RFC 1952) or Zstandard (RFC 8878): told by its first bytes.
 * Several packed pieces one after another are one stream, as gzip and zstd themselves have it. Memory is bounded: a
 * Zstandard frame that asks for a window over 128 MiB is refused. One thread. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct unpack;

/* `fd` and `name` (for messages) are borrowed. */
MUST_CHECK int unpack_new(struct unpack **out, int fd, const char *name, struct err *err);
void unpack_free(struct unpack *u); /* NULL is fine */
/* At most `room` bytes; *got is 0 at the end. -1 with the sentence: the file cannot be read, or is damaged or cut, at
 * which of its bytes. */
MUST_CHECK int unpack_read(struct unpack *u, char *out, size_t room, size_t *got, struct err *err);
/* Bytes of the file that were used so far: for a progress bar. */
uint64_t unpack_consumed(const struct unpack *u);
