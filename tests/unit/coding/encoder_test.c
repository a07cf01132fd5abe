/* What is encoded is decoded to itself, by pieces of any size, and takes the memory that is reckoned with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "coding/decoder.h"
#include "coding/encoder.h"

#define LARGE (1u << 20)

enum content { TEXT, NOISE, ZEROS, CONTENTS };

static char *content_new(enum content what, size_t len, uint64_t seed)
{
    static const char *const words[] = { "weir ",
                                         "listener ",
                                         "<div class=\"row\">",
                                         "0123456789",
                                         "\r\n",
                                         "{\"key\": ",
                                         "the response of ",
                                         "\xc3\xa9",
                                         "function(a, b) { ",
                                         "." };
    char *text = malloc(len + 32);
    struct rng rng;
    assert_non_null(text);
    rng_seed(&rng, seed);
    if (what == ZEROS) memset(text, 0, len);
    for (size_t at = 0; what == NOISE && at < len; at++) text[at] = (char)rng_next(&rng);
    for (size_t at = 0; what == TEXT && at < len;) {
        const char *word = words[rng_next(&rng) % 10];
        size_t word_len = strlen(word);
        memcpy(text + at, word, word_len);
        at += word_len;
        if (rng_next(&rng) % 4 == 0) text[at++] = (char)('a' + rng_next(&rng) % 26);
    }
    return text;
}

static struct encoder *encoder_of(struct encoder_shape shape)
{
    struct encoder *e = encoder_kind_of((enum coding)shape.coding)->make(&shape);
    assert_non_null(e);
    e->kind = encoder_kind_of((enum coding)shape.coding);
    e->shape = shape;
    return e;
}

/* Pieces of up to piece_max bytes, room of up to room_max; now and then flushed, and then all is there. */
static void encode_all(struct encoder *e, struct decoder *d, const char *text, size_t len, struct rng *rng,
                       size_t piece_max, size_t room_max, bool flushes)
{
    char *out = malloc(room_max);
    struct slice rest = { text, len };
    assert_non_null(out);
    for (;;) {
        size_t size = 1 + rng_next(rng) % piece_max;
        if (size > rest.len) size = rest.len;
        struct slice piece = { rest.data, size };
        rest = (struct slice){ rest.data + size, rest.len - size };
        enum encoder_op op = ENCODER_GO_ON;
        if (flushes && rng_next(rng) % 8 == 0) op = ENCODER_FLUSH;
        if (!rest.len) op = ENCODER_END;
        enum encoder_result result;
        do {
            size_t made = 0, room = 1 + rng_next(rng) % room_max;
            result = encoder_run(e, op, &piece, out, room, &made);
            assert_int_not_equal(result, ENCODER_FAILED);
            assert_true(made <= room);
            decoder_feed(d, out, made);
        } while (result == ENCODER_FULL);
        assert_int_equal(piece.len, 0);
        if (op == ENCODER_FLUSH) assert_int_equal(decoder_text(d).len, (size_t)(rest.data - text));
        if (op == ENCODER_END) break;
    }
    free(out);
    assert_true(decoder_is_at_end(d));
    assert_true(slice_equal(decoder_text(d), (struct slice){ text, len }));
}

static void what_was_encoded_is_decoded_to_itself(void **state)
{
    (void)state;
    static const size_t lens[] = { 0, 1, 2, 100, 5000, 70000, 300000 };
    static const size_t rooms[] = { 1, 7, 600, 16000 };
    struct rng rng;
    rng_seed(&rng, 7);
    for (unsigned c = 0; c < CODINGS_MADE; c++)
        for (unsigned size = ENCODER_SMALL; size <= ENCODER_LARGE; size++)
            for (size_t i = 0; i < sizeof(lens) / sizeof(*lens); i++)
                for (size_t k = 0; k < sizeof(rooms) / sizeof(*rooms); k++) {
                    if (rooms[k] < 100 && lens[i] > 10000) continue;
                    uint8_t level_max = encoder_kind_of((enum coding)c)->level_max;
                    uint8_t level = (uint8_t)(1 + rng_next(&rng) % level_max);
                    enum content what = (enum content)(rng_next(&rng) % CONTENTS);
                    char *text = content_new(what, lens[i], i + k);
                    struct encoder *e = encoder_of(
                        (struct encoder_shape){ (uint8_t)c, level, (uint8_t)size });
                    struct decoder *d = decoder_new((enum coding)c);
                    encode_all(e, d, text, lens[i], &rng, 1 + rng_next(&rng) % 40000, rooms[k], i % 2);
                    e->kind->free(e);
                    decoder_free(d);
                    free(text);
                }
}

static void one_that_was_reset_begins_anew(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 9);
    for (unsigned c = 0; c < CODINGS_MADE; c++) {
        struct encoder *e = encoder_of((struct encoder_shape){ (uint8_t)c, 5, ENCODER_LARGE });
        char *text = content_new(TEXT, 40000, c);
        char out[512];
        size_t made;
        for (unsigned times = 0; e->kind->reset && times < 3; times++) {
            /* In the middle of another. */
            struct slice other = { "another response", 16 };
            encoder_run(e, times ? ENCODER_FLUSH : ENCODER_GO_ON, &other, out, 3, &made);
            assert_true(e->kind->reset(e));
            struct decoder *d = decoder_new((enum coding)c);
            encode_all(e, d, text, 40000, &rng, 9000, 500, true);
            decoder_free(d);
            assert_true(e->kind->reset(e));
        }
        free(text);
        e->kind->free(e);
    }
}

static void a_stream_without_its_end_is_not_taken_for_whole(void **state)
{
    (void)state;
    for (unsigned c = 0; c < CODINGS_MADE; c++) {
        struct encoder *e = encoder_of((struct encoder_shape){ (uint8_t)c, 5, ENCODER_LARGE });
        struct decoder *d = decoder_new((enum coding)c);
        struct slice in = { "cut in the middle", 17 };
        char out[512];
        size_t made;
        assert_int_equal(encoder_run(e, ENCODER_FLUSH, &in, out, sizeof(out), &made), ENCODER_DONE);
        decoder_feed(d, out, made);
        assert_true(slice_equal(decoder_text(d), SLICE("cut in the middle")));
        assert_false(decoder_is_at_end(d));
        decoder_free(d);
        e->kind->free(e);
    }
}

/* What a worker reserves is the libraries' own doing: another version that takes more is found here. */
static void no_encoder_takes_more_than_was_said(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 11);
    for (unsigned c = 0; c < CODINGS_MADE; c++)
        for (uint8_t level = 1; level <= encoder_kind_of((enum coding)c)->level_max; level++)
            for (unsigned k = 0; k < 2 * CONTENTS; k++) {
                bool is_small = k >= CONTENTS;
                struct encoder_shape shape = { (uint8_t)c, level, is_small ? ENCODER_SMALL : ENCODER_LARGE };
                size_t len = is_small ? ENCODER_SMALL_MAX : LARGE;
                char *text = content_new((enum content)(k % CONTENTS), len, k);
                struct encoder *e = encoder_of(shape);
                struct decoder *d = decoder_new((enum coding)c);
                encode_all(e, d, text, len, &rng, 32768, 16000, false);
                if (encoder_taken_max(e) > encoder_bytes(&shape))
                    fail_msg("%s %u takes %zu bytes, not %u", coding_name((enum coding)c), level,
                             encoder_taken_max(e), encoder_bytes(&shape));
                assert_true(encoder_taken_max(e));
                decoder_free(d);
                e->kind->free(e);
                free(text);
            }
}

/* Events: small pieces, for ever, each flushed. */
static void nor_does_a_stream_that_is_flushed(void **state)
{
    (void)state;
    struct rng rng;
    rng_seed(&rng, 13);
    for (unsigned c = 0; c < CODINGS_MADE; c++) {
        uint8_t level = c == CODING_BR ? 3 : 9;
        struct encoder_shape shape = { (uint8_t)c, level, ENCODER_SMALL };
        struct encoder *e = encoder_of(shape);
        char *text = content_new(TEXT, LARGE, c), out[4096];
        for (size_t at = 0; at + 32768 <= LARGE;) {
            size_t size = rng_next(&rng) % 64 ? rng_next(&rng) % 300 : 32768, made;
            struct slice in = { text + at, size };
            at += size;
            enum encoder_result result;
            do result = encoder_run(e, ENCODER_FLUSH, &in, out, sizeof(out), &made);
            while (result == ENCODER_FULL);
            assert_int_equal(result, ENCODER_DONE);
        }
        if (encoder_taken_max(e) > encoder_bytes(&shape))
            fail_msg("%s takes %zu bytes, not %u", coding_name((enum coding)c), encoder_taken_max(e),
                     encoder_bytes(&shape));
        free(text);
        e->kind->free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_encoded_is_decoded_to_itself),
        cmocka_unit_test(one_that_was_reset_begins_anew),
        cmocka_unit_test(a_stream_without_its_end_is_not_taken_for_whole),
        cmocka_unit_test(no_encoder_takes_more_than_was_said),
        cmocka_unit_test(nor_does_a_stream_that_is_flushed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
