/* zstd (RFC 8878), by libzstd. Windows and tables are bounded for every level, far below the 8 MiB that a client must be able to
 * hold (RFC 9659). */
#include <stdlib.h>
#include <zstd.h>

#include "base/bug.h"
#include "coding/encoder.h"

struct zstd {
    struct encoder encoder; /* first */
    ZSTD_CCtx *context;
};

/* Measured, with a margin: tests/unit/coding/encoder_test.c looks whether it holds. */
static uint32_t bytes(const struct encoder_shape *shape)
{
    return shape->size == ENCODER_SMALL ? 288u << 10 : 1472u << 10;
}

static bool set_up(ZSTD_CCtx *c, const struct encoder_shape *shape)
{
    bool is_small = shape->size == ENCODER_SMALL;
    const struct {
        ZSTD_cParameter parameter;
        int value;
    } wanted[] = {
        { ZSTD_c_compressionLevel, shape->level },
        { ZSTD_c_windowLog, is_small ? 14 : 17 },
        { ZSTD_c_hashLog, is_small ? 14 : 16 },
        { ZSTD_c_chainLog, is_small ? 14 : 16 },
    };
    for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++)
        if (ZSTD_isError(ZSTD_CCtx_setParameter(c, wanted[i].parameter, wanted[i].value))) return false;
    return true;
}

static struct encoder *make(const struct encoder_shape *shape)
{
    struct zstd *z = calloc(1, sizeof(*z));
    if (!z) return NULL;
    z->context = ZSTD_createCCtx();
    if (z->context && set_up(z->context, shape)) return &z->encoder;
    ZSTD_freeCCtx(z->context);
    free(z);
    return NULL;
}

static enum encoder_result run(struct encoder *e, enum encoder_op op, struct slice *in, char *out,
                               size_t room, size_t *made)
{
    static const ZSTD_EndDirective directives[] = {
        [ENCODER_GO_ON] = ZSTD_e_continue, [ENCODER_FLUSH] = ZSTD_e_flush, [ENCODER_END] = ZSTD_e_end
    };
    ZSTD_inBuffer from = { in->data, in->len, 0 };
    ZSTD_outBuffer to = { out, room, 0 };
    size_t left = ZSTD_compressStream2(((struct zstd *)e)->context, &to, &from, directives[op]);
    *made = to.pos;
    *in = from.pos < in->len ? (struct slice){ in->data + from.pos, in->len - from.pos } : SLICE_NONE;
    if (ZSTD_isError(left)) return ENCODER_FAILED; /* out of memory */
    bool has_more = in->len || (op != ENCODER_GO_ON && left);
    return has_more ? ENCODER_FULL : ENCODER_DONE;
}

/* It has no allocator of ours, and gives nothing back before it is freed. */
static size_t taken_max(const struct encoder *e)
{
    return ZSTD_sizeof_CCtx(((const struct zstd *)e)->context);
}

static bool reset(struct encoder *e)
{
    return !ZSTD_isError(ZSTD_CCtx_reset(((struct zstd *)e)->context, ZSTD_reset_session_only));
}

static void release(struct encoder *e)
{
    ZSTD_freeCCtx(((struct zstd *)e)->context);
    free(e);
}

const struct encoder_kind encoder_zstd = { .level_max = 9,
                                           .bytes = bytes,
                                           .make = make,
                                           .run = run,
                                           .taken_max = taken_max,
                                           .reset = reset,
                                           .free = release };
