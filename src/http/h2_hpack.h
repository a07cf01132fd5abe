/* http/h2_hpack.h: field compression (RFC 7541) of one HTTP/2 connection, by libnghttp2's coders, which nobody else
 * includes. They know only field lists: framing, streams and flow control are ours (docs/decisions/0017-hpack-alone.md).
 * What their tables keep lies in slabs of the worker's, counted, so that the steady path asks nobody for memory. One
 * loop's thread. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "base/slab.h"
#include "base/slice.h"
#include "net/loop.h"

/* Sizes of what the coders ask for: 64 bytes, doubled. Larger ones are blocks. */
#define H2_MEMORY_CLASSES 7

/* A worker's. */
struct h2_memory {
    struct loop *loop;
    struct slab sizes[H2_MEMORY_CLASSES];
};

void h2_memory_init(struct h2_memory *m, struct loop *l);
/* Everything was given back. */
void h2_memory_fini(struct h2_memory *m);

/* A connection's two coders. It stays where it is. */
struct h2_hpack {
    nghttp2_mem mem;
    struct h2_memory *memory;
    nghttp2_hd_inflater *decoder;
    nghttp2_hd_deflater *encoder;
    uint64_t bytes;  /* that they keep */
    uint32_t blocks; /* among them */
};

/* Both tables have 4,096 bytes, as RFC 7541 counts. -1: out of memory. */
MUST_CHECK int h2_hpack_open(struct h2_hpack *h, struct h2_memory *m);
void h2_hpack_close(struct h2_hpack *h); /* of zeros: nothing */

enum h2_decoded { H2_DECODED, H2_DECODED_BAD, H2_DECODED_NO_MEMORY, H2_DECODED_STOPPED };

/* One whole field block. on_field is told of each field, which lives until it returns; false: stops, after which the
 * decoder is of no more use, as after all but H2_DECODED. */
enum h2_decoded h2_hpack_decode(struct h2_hpack *h, struct slice block,
                                bool (*on_field)(void *context, struct slice name, struct slice value),
                                void *context);

/* A field to encode; its name is in lower case. is_passing: of no use to those that come after it. */
static inline nghttp2_nv h2_field(struct slice name, struct slice value, bool is_passing)
{
    return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name.data,
                         .value = (uint8_t *)(uintptr_t)value.data,
                         .namelen = name.len,
                         .valuelen = value.len,
                         .flags = is_passing ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE };
}
/* The most bytes that these can become. */
size_t h2_hpack_bound(struct h2_hpack *h, const nghttp2_nv *fields, size_t count);
/* Into `to`, which has room for the bound; its length. -1: out of memory, and the encoder is of no more use. */
MUST_CHECK int64_t h2_hpack_encode(struct h2_hpack *h, char *to, size_t room, const nghttp2_nv *fields,
                                   size_t count);
/* The peer's table has that size. -1: out of memory. */
MUST_CHECK int h2_hpack_resize(struct h2_hpack *h, uint32_t table_bytes);
