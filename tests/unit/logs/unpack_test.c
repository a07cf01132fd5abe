#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the above */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <cmocka.h>

#include "base/rng.h"
#include "base/slice.h"
#include "logs/unpack.h"

#define TEXT_BYTES (1u << 20)
#define PACKED_MAX (2u << 20)

enum packing { PLAIN, GZIP, ZSTD, PACKINGS };

/* A log's lines, the same each time. */
struct sample {
    char text[TEXT_BYTES];
    char packed[PACKED_MAX];
    char unpacked[PACKED_MAX];
};

static struct sample *sample;

static size_t pack(enum packing packing, struct slice text, char *out, size_t cap)
{
    if (packing == PLAIN) {
        memcpy(out, text.data, text.len);
        return text.len;
    }
    if (packing == ZSTD) {
        size_t len = ZSTD_compress(out, cap, text.data, text.len, 1);
        assert_false(ZSTD_isError(len));
        return len;
    }
    z_stream z = { 0 };
    assert_int_equal(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)(uintptr_t)text.data;
    z.avail_in = (uInt)text.len;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return cap - z.avail_out;
}

static int file_of(struct slice bytes)
{
    int fd = memfd_create("packed", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes.data, bytes.len), bytes.len);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* In pieces of `cap` bytes; *len: what came before the end or the fault. */
static int unpack_all(int fd, size_t cap, size_t *len, uint64_t *consumed, struct err *err)
{
    struct unpack *u = NULL;
    size_t got = 0;
    *len = 0;
    assert_int_equal(unpack_new(&u, fd, "access.log", err), 0);
    int result;
    while ((result = unpack_read(u, sample->unpacked + *len, cap, &got, err)) == 0 && got) {
        assert_true(got <= cap);
        *len += got;
        assert_true(*len + cap <= sizeof(sample->unpacked));
    }
    *consumed = unpack_consumed(u);
    unpack_free(u);
    close(fd);
    return result;
}

static void assert_unpacks(struct slice packed, size_t cap, struct slice expected)
{
    struct err err = { "" };
    size_t len;
    uint64_t consumed;
    if (unpack_all(file_of(packed), cap, &len, &consumed, &err) < 0) fail_msg("%s", err.text);
    assert_int_equal(len, expected.len);
    assert_memory_equal(sample->unpacked, expected.data, len);
    assert_int_equal(consumed, packed.len);
}

static void assert_damaged(struct slice packed, const char *sentence)
{
    struct err err = { "" };
    size_t len;
    uint64_t consumed;
    assert_int_equal(unpack_all(file_of(packed), 4096, &len, &consumed, &err), -1);
    assert_non_null(strstr(err.text, "access.log is damaged at byte "));
    if (!strstr(err.text, sentence)) fail_msg("\"%s\" is not in: %s", sentence, err.text);
}

static void every_packing_gives_the_same_bytes_in_pieces_of_every_size(void **state)
{
    static const size_t caps[] = { 1, 7, 4096, 256 << 10 };
    (void)state;
    for (enum packing p = 0; p < PACKINGS; p++) {
        for (unsigned i = 0; i < sizeof(caps) / sizeof(*caps); i++) {
            struct slice text = { sample->text, caps[i] == 1 ? 20000 : TEXT_BYTES };
            size_t len = pack(p, text, sample->packed, PACKED_MAX);
            assert_unpacks((struct slice){ sample->packed, len }, caps[i], text);
        }
    }
}

static void short_and_empty_files_are_plain(void **state)
{
    static const struct slice files[] = { { "", 0 },         { "\n", 1 },     { "\x1f", 1 },
                                          { "\x1f\x8b", 2 }, { "(\xb5/", 3 }, { "\x1f\x8bxyz", 5 } };
    (void)state;
    for (unsigned i = 0; i < sizeof(files) / sizeof(*files); i++) assert_unpacks(files[i], 4096, files[i]);
}

static void members_one_after_another_are_one_text(void **state)
{
    static const size_t parts[] = { 3001, 0, 1, 70000 };
    (void)state;
    for (enum packing p = GZIP; p <= ZSTD; p++) {
        size_t at = 0, len = 0;
        for (unsigned i = 0; at < 300000; i++) {
            struct slice part = { sample->text + at, parts[i % 4] };
            len += pack(p, part, sample->packed + len, PACKED_MAX - len);
            at += part.len;
        }
        assert_unpacks((struct slice){ sample->packed, len }, 4096, (struct slice){ sample->text, at });
    }
}

static void frames_to_be_skipped_and_padding_are_passed_over(void **state)
{
    struct slice text = { sample->text, 5000 };
    char *p = sample->packed;
    (void)state;
    memcpy(p, "\x52\x2a\x4d\x18\x03\0\0\0xyz", 11);
    size_t len = 11 + pack(ZSTD, text, p + 11, PACKED_MAX - 11);
    assert_unpacks((struct slice){ p, len }, 4096, text);
    len = pack(GZIP, text, p, PACKED_MAX);
    memset(p + len, 0, 500000);
    assert_unpacks((struct slice){ p, len + 500000 }, 4096, text);
}

static void a_pipe_that_gives_a_byte_at_a_time_is_a_file(void **state)
{
    (void)state;
    for (enum packing p = 0; p < PACKINGS; p++) {
        int fds[2];
        struct err err;
        size_t got;
        uint64_t consumed;
        struct slice text = { sample->text, 2000 };
        size_t len = pack(p, text, sample->packed, PACKED_MAX);
        assert_int_equal(pipe2(fds, O_CLOEXEC | O_DIRECT), 0); /* each write is one read */
        for (size_t i = 0; i < 12; i++) assert_int_equal(write(fds[1], sample->packed + i, 1), 1);
        assert_int_equal(write(fds[1], sample->packed + 12, len - 12), len - 12);
        close(fds[1]);
        assert_int_equal(unpack_all(fds[0], 4096, &got, &consumed, &err), 0);
        assert_int_equal(got, text.len);
        assert_memory_equal(sample->unpacked, text.data, text.len);
    }
}

static void a_packed_file_that_is_cut_anywhere_is_damaged_and_gives_what_came_before(void **state)
{
    (void)state;
    for (enum packing p = GZIP; p <= ZSTD; p++) {
        size_t len = pack(p, (struct slice){ sample->text, 3000 }, sample->packed, PACKED_MAX);
        for (size_t cut = 4; cut < len; cut++) {
            struct err err = { "" };
            size_t got;
            uint64_t consumed;
            int fd = file_of((struct slice){ sample->packed, cut });
            assert_int_equal(unpack_all(fd, 4096, &got, &consumed, &err), -1);
            assert_non_null(strstr(err.text, "it ends within a member"));
            assert_int_equal(consumed, cut);
            assert_memory_equal(sample->unpacked, sample->text, got);
        }
    }
}

static void damage_is_found_and_said_with_its_place(void **state)
{
    (void)state;
    /* ZSTD_compress() adds no checksum, so gzip only. */
    size_t len = pack(GZIP, (struct slice){ sample->text, TEXT_BYTES }, sample->packed, PACKED_MAX);
    sample->packed[len / 2] ^= 0x55;
    assert_damaged((struct slice){ sample->packed, len }, ": ");
    sample->packed[len / 2] ^= 0x55;
    sample->packed[len - 1] ^= 1;
    assert_damaged((struct slice){ sample->packed, len }, "incorrect length check");
}

static void what_follows_the_last_member_is_damage(void **state)
{
    (void)state;
    for (enum packing p = GZIP; p <= ZSTD; p++) {
        size_t len = pack(p, (struct slice){ sample->text, 100 }, sample->packed, PACKED_MAX);
        memcpy(sample->packed + len, "more", 4);
        assert_damaged((struct slice){ sample->packed, len + 4 }, "there is something after its end");
    }
}

static void a_window_over_the_limit_is_refused(void **state)
{
    (void)state;
    /* RFC 8878, 3.1.1.1.2: a frame header with a window of 2^31 bytes, then an empty last block. */
    static const struct slice frame = { "\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9 };
    assert_damaged(frame, "requires too much memory");
}

static void a_file_that_cannot_be_read_is_said_so(void **state)
{
    struct err err = { "" };
    size_t len;
    uint64_t consumed;
    (void)state;
    assert_int_equal(unpack_all(open("/", O_RDONLY | O_CLOEXEC), 4096, &len, &consumed, &err), -1);
    assert_non_null(strstr(err.text, "cannot read access.log at byte 0: "));
}

static int set_up(void **state)
{
    struct rng rng;
    (void)state;
    sample = malloc(sizeof(*sample));
    if (!sample) return -1;
    rng_seed(&rng, 1);
    for (size_t i = 0; i < TEXT_BYTES; i++)
        sample->text[i] = "0123456789abcdef GET /\"\n"[rng_below(&rng, 24)];
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(sample);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_packing_gives_the_same_bytes_in_pieces_of_every_size),
        cmocka_unit_test(short_and_empty_files_are_plain),
        cmocka_unit_test(members_one_after_another_are_one_text),
        cmocka_unit_test(frames_to_be_skipped_and_padding_are_passed_over),
        cmocka_unit_test(a_pipe_that_gives_a_byte_at_a_time_is_a_file),
        cmocka_unit_test(a_packed_file_that_is_cut_anywhere_is_damaged_and_gives_what_came_before),
        cmocka_unit_test(damage_is_found_and_said_with_its_place),
        cmocka_unit_test(what_follows_the_last_member_is_damage),
        cmocka_unit_test(a_window_over_the_limit_is_refused),
        cmocka_unit_test(a_file_that_cannot_be_read_is_said_so),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
