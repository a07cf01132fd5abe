/* br (RFC 7932), by libbrotlienc. Windows are small: what a response gains by more than 64 KiB is little, and an encoder takes
 * many times its window. */
#include <brotli/encode.h>
#include <stdlib.h>

#include "base/bug.h"
#include "coding/encoder.h"

struct br {
    struct encoder encoder; /* first */
    BrotliEncoderState *state;
};

/* Measured, with a margin: tests/unit/coding/encoder_test.c looks whether it holds. */
static uint32_t bytes(const struct encoder_shape *shape)
{
    bool is_small = shape->size == ENCODER_SMALL;
    if (shape->level < 2) return is_small ? 192u << 10 : 448u << 10;
    if (shape->level < 4) return is_small ? 640u << 10 : 1088u << 10;
    return is_small ? 1024u << 10 : 2304u << 10;
}

static struct encoder *make(const struct encoder_shape *shape)
{
    struct br *b = calloc(1, sizeof(*b));
    if (!b) return NULL;
    b->state = BrotliEncoderCreateInstance(encoder_alloc, encoder_dealloc, &b->encoder);
    if (b->state && BrotliEncoderSetParameter(b->state, BROTLI_PARAM_QUALITY, shape->level) &&
        BrotliEncoderSetParameter(b->state, BROTLI_PARAM_LGWIN, shape->size == ENCODER_SMALL ? 14 : 16))
        return &b->encoder;
    BrotliEncoderDestroyInstance(b->state);
    free(b);
    return NULL;
}

static enum encoder_result run(struct encoder *e, enum encoder_op op, struct slice *in, char *out,
                               size_t room, size_t *made)
{
    static const BrotliEncoderOperation operations[] = { [ENCODER_GO_ON] = BROTLI_OPERATION_PROCESS,
                                                         [ENCODER_FLUSH] = BROTLI_OPERATION_FLUSH,
                                                         [ENCODER_END] = BROTLI_OPERATION_FINISH };
    BrotliEncoderState *s = ((struct br *)e)->state;
    const uint8_t *next_in = (const uint8_t *)in->data;
    uint8_t *next_out = (uint8_t *)out;
    size_t left_in = in->len, left_out = room;
    bool is_sound = BrotliEncoderCompressStream(s, operations[op], &left_in, &next_in, &left_out, &next_out,
                                                NULL);
    *made = room - left_out;
    *in = (struct slice){ (const char *)next_in, left_in };
    if (!is_sound) return ENCODER_FAILED; /* out of memory */
    if (op == ENCODER_END) return BrotliEncoderIsFinished(s) ? ENCODER_DONE : ENCODER_FULL;
    bool has_more = left_in || BrotliEncoderHasMoreOutput(s);
    return has_more ? ENCODER_FULL : ENCODER_DONE;
}

static void release(struct encoder *e)
{
    BrotliEncoderDestroyInstance(((struct br *)e)->state);
    free(e);
}

const struct encoder_kind encoder_br = {
    .level_max = 8, .bytes = bytes, .make = make, .run = run, .free = release
};
