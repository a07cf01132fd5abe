/* gzip (RFC 1952), by zlib. */
#include <limits.h>
#include <stdlib.h>
#include <zlib.h>

#include "base/bug.h"
#include "coding/encoder.h"

struct gzip {
    struct encoder encoder; /* first */
    z_stream z;
};

/* Of windowBits: asks for gzip's header and checksum. */
#define GZIP_FORMAT 16

static int window_bits(const struct encoder_shape *shape)
{
    return shape->size == ENCODER_SMALL ? 14 : 15;
}

static int memory_level(const struct encoder_shape *shape)
{
    return shape->size == ENCODER_SMALL ? 7 : 8;
}

/* As zconf.h says, and its state. */
static uint32_t bytes(const struct encoder_shape *shape)
{
    return (1u << (window_bits(shape) + 2)) + (1u << (memory_level(shape) + 9)) + (8u << 10);
}

static voidpf alloc(voidpf encoder, uInt items, uInt size)
{
    return encoder_alloc(encoder, (size_t)items * size);
}

static struct encoder *make(const struct encoder_shape *shape)
{
    struct gzip *g = calloc(1, sizeof(*g));
    if (!g) return NULL;
    g->z = (z_stream){ .zalloc = alloc, .zfree = encoder_dealloc, .opaque = &g->encoder };
    if (deflateInit2(&g->z, shape->level, Z_DEFLATED, window_bits(shape) + GZIP_FORMAT, memory_level(shape),
                     Z_DEFAULT_STRATEGY) == Z_OK)
        return &g->encoder;
    free(g);
    return NULL;
}

static enum encoder_result run(struct encoder *e, enum encoder_op op, struct slice *in, char *out,
                               size_t room, size_t *made)
{
    static const int flushes[] = {
        [ENCODER_GO_ON] = Z_NO_FLUSH, [ENCODER_FLUSH] = Z_SYNC_FLUSH, [ENCODER_END] = Z_FINISH
    };
    z_stream *z = &((struct gzip *)e)->z;
    if (in->len > UINT_MAX || room > UINT_MAX) return ENCODER_FAILED;
    z->next_in = (Bytef *)(uintptr_t)in->data;
    z->avail_in = (uInt)in->len;
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)room;
    int status = deflate(z, flushes[op]);
    *made = room - z->avail_out;
    *in = (struct slice){ (const char *)z->next_in, z->avail_in };
    /* Z_BUF_ERROR: there was nothing to do, as where the output before ended just with its room. */
    if (bug_if(CODING, status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR))
        return ENCODER_FAILED;
    if (op == ENCODER_END) return status == Z_STREAM_END ? ENCODER_DONE : ENCODER_FULL;
    bool has_more = z->avail_in || (op == ENCODER_FLUSH && !z->avail_out);
    return has_more ? ENCODER_FULL : ENCODER_DONE;
}

static bool reset(struct encoder *e)
{
    return deflateReset(&((struct gzip *)e)->z) == Z_OK;
}

static void release(struct encoder *e)
{
    deflateEnd(&((struct gzip *)e)->z);
    free(e);
}

const struct encoder_kind encoder_gzip = {
    .level_max = 9, .bytes = bytes, .make = make, .run = run, .reset = reset, .free = release
};
