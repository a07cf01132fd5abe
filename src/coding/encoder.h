/* coding/encoder.h: one stream being encoded. Input and output go by pieces of any size. One worker's thread; whoever has one
 * got it from an encoder_pool, which bounds the memory of all of them.
 *
 * What an encoder may take is known before: encoder_bytes(). The sizes are few, so that what one response is done with serves
 * the next. */
#pragma once

#include "base/list.h"
#include "coding/coding.h"

/* small: for what is known to be of ENCODER_SMALL_MAX at most, or comes in small pieces that are each flushed. */
enum encoder_size { ENCODER_SMALL, ENCODER_LARGE };
#define ENCODER_SMALL_MAX (16u << 10)

enum encoder_op {
    ENCODER_GO_ON,
    ENCODER_FLUSH, /* whoever has all the output can decode all the input */
    ENCODER_END
};

enum encoder_result {
    ENCODER_DONE, /* all input was taken; of FLUSH and END all output was made */
    ENCODER_FULL, /* there is more output than room: again, with the same operation and the rest of the input */
    ENCODER_FAILED
};

struct encoder_shape {
    uint8_t coding, level, size; /* enum coding; see compress_conf.h; enum encoder_size */
};

struct encoder_kind;

struct encoder {
    const struct encoder_kind *kind;
    struct list link; /* the pool's */
    struct encoder_shape shape;
    size_t taken, taken_max; /* of encoder_alloc(): now, and at most so far */
};

/* One coding's. */
struct encoder_kind {
    uint8_t level_max;
    /* At most, of any input. */
    uint32_t (*bytes)(const struct encoder_shape *shape);
    struct encoder *(*make)(const struct encoder_shape *shape); /* NULL: out of memory */
    enum encoder_result (*run)(struct encoder *e, enum encoder_op op, struct slice *in, char *out,
                               size_t room, size_t *made);
    size_t (*taken_max)(
        const struct encoder *e);     /* NULL: its library takes memory of encoder_alloc() alone */
    bool (*reset)(struct encoder *e); /* for another stream; NULL: it serves one alone */
    void (*free)(struct encoder *e);
};

extern const struct encoder_kind encoder_gzip, encoder_br, encoder_zstd;
/* Not of identity. */
const struct encoder_kind *encoder_kind_of(enum coding c);

/* For the libraries, as their allocators, with the encoder as their context: counts. */
void *encoder_alloc(void *encoder, size_t size);
void encoder_dealloc(void *encoder, void *memory);

static inline uint32_t encoder_bytes(const struct encoder_shape *shape)
{
    return encoder_kind_of((enum coding)shape->coding)->bytes(shape);
}
/* Of memory, by its library, so far: no more than encoder_bytes(). */
static inline size_t encoder_taken_max(const struct encoder *e)
{
    return e->kind->taken_max ? e->kind->taken_max(e) : e->taken_max;
}
/* Takes from the front of *in. `room` is at least 1. */
static inline enum encoder_result encoder_run(struct encoder *e, enum encoder_op op, struct slice *in,
                                              char *out, size_t room, size_t *made)
{
    return e->kind->run(e, op, in, out, room, made);
}
