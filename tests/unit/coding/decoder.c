#include "coding/decoder.h"

#include <brotli/decode.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

struct decoder {
    enum coding coding;
    z_stream z;
    BrotliDecoderState *br;
    ZSTD_DCtx *zstd;
    char *text;
    size_t len, room;
    bool is_at_end;
};

struct decoder *decoder_new(enum coding c)
{
    struct decoder *d = calloc(1, sizeof(*d));
    assert_non_null(d);
    d->coding = c;
    if (c == CODING_GZIP) assert_int_equal(inflateInit2(&d->z, 15 + 16), Z_OK);
    if (c == CODING_BR) assert_non_null(d->br = BrotliDecoderCreateInstance(NULL, NULL, NULL));
    if (c == CODING_ZSTD) assert_non_null(d->zstd = ZSTD_createDCtx());
    return d;
}

void decoder_free(struct decoder *d)
{
    if (d->coding == CODING_GZIP) inflateEnd(&d->z);
    BrotliDecoderDestroyInstance(d->br);
    ZSTD_freeDCtx(d->zstd);
    free(d->text);
    free(d);
}

/* One call; what is left of the input. */
static struct slice decode(struct decoder *d, struct slice in, char *out, size_t room, size_t *made)
{
    if (d->coding == CODING_GZIP) {
        d->z.next_in = (Bytef *)(uintptr_t)in.data;
        d->z.avail_in = (uInt)in.len;
        d->z.next_out = (Bytef *)out;
        d->z.avail_out = (uInt)room;
        int status = inflate(&d->z, Z_NO_FLUSH);
        assert_true(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR);
        d->is_at_end = status == Z_STREAM_END;
        *made = room - d->z.avail_out;
        return (struct slice){ (const char *)d->z.next_in, d->z.avail_in };
    }
    if (d->coding == CODING_BR) {
        const uint8_t *next = (const uint8_t *)in.data;
        uint8_t *to = (uint8_t *)out;
        size_t left = room;
        assert_int_not_equal(BrotliDecoderDecompressStream(d->br, &in.len, &next, &left, &to, NULL),
                             BROTLI_DECODER_RESULT_ERROR);
        d->is_at_end = BrotliDecoderIsFinished(d->br);
        *made = room - left;
        return (struct slice){ (const char *)next, in.len };
    }
    ZSTD_inBuffer from = { in.data, in.len, 0 };
    ZSTD_outBuffer to = { out, room, 0 };
    size_t status = ZSTD_decompressStream(d->zstd, &to, &from);
    assert_false(ZSTD_isError(status));
    d->is_at_end = !status;
    *made = to.pos;
    return (struct slice){ in.data + from.pos, in.len - from.pos };
}

void decoder_feed(struct decoder *d, const char *data, size_t len)
{
    struct slice in = { data, len };
    size_t made = 0;
    do {
        assert_false(d->is_at_end && in.len);
        if (d->room - d->len < 65536) {
            d->room = d->room ? 2 * d->room : 1 << 17;
            d->text = realloc(d->text, d->room);
            assert_non_null(d->text);
        }
        in = decode(d, in, d->text + d->len, d->room - d->len, &made);
        d->len += made;
    } while (in.len || (made && !d->is_at_end));
}

struct slice decoder_text(const struct decoder *d)
{
    return (struct slice){ d->text, d->len };
}

bool decoder_is_at_end(const struct decoder *d)
{
    return d->is_at_end;
}
