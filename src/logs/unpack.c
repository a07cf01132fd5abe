#include "logs/unpack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/slice.h"

#define INPUT_BYTES (64u << 10)
#define WINDOW_BITS_MAX 27

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

struct unpack {
    int fd;
    const char *name;
    enum packing packing;
    uint64_t read_bytes; /* from the file */
    bool is_file_over, is_within; /* within: a packed piece has begun and not ended */
    size_t at, have;              /* of input */
    z_stream gzip;
    ZSTD_DStream *zstd;
    char input[INPUT_BYTES];
};

static int damaged(const struct unpack *u, const char *why, struct err *err)
{
    return err_set(err, "%s: at about byte %llu of the file: %s", u->name, (unsigned long long)unpack_consumed(u), why);
}

/* More of the file behind what is there. */
static int fill(struct unpack *u, struct err *err)
{
    if (u->at) memmove(u->input, u->input + u->at, u->have - u->at);
    u->have -= u->at;
    u->at = 0;
    ssize_t got = read(u->fd, u->input + u->have, sizeof(u->input) - u->have);
    if (got < 0) return err_set(err, "cannot read %s: %s", u->name, strerror(errno));
    u->is_file_over = got == 0;
    u->have += (size_t)got;
    u->read_bytes += (uint64_t)got;
    return 0;
}

static int open_packing(struct unpack *u, struct err *err)
{
    struct slice start = { u->input, u->have };
    int result = 0;
    if (slice_starts_with(start, SLICE("\x1f\x8b"))) {
        u->packing = PACKING_GZIP;
        if (inflateInit2(&u->gzip, 15 + 16) != Z_OK) result = -1;
    } else if (slice_starts_with(start, SLICE("\x28\xb5\x2f\xfd"))) {
        u->packing = PACKING_ZSTD;
        u->zstd = ZSTD_createDStream();
        if (!u->zstd || ZSTD_isError(ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, WINDOW_BITS_MAX))) result = -1;
    }
    return result < 0 ? err_set(err, "%s: out of memory for unpacking it", u->name) : 0;
}

int unpack_new(struct unpack **out, int fd, const char *name, struct err *err)
{
    struct unpack *u = calloc(1, sizeof(*u));
    if (!u) return err_set(err, "%s: out of memory for reading it", name);
    u->fd = fd;
    u->name = name;
    int result = 0;
    /* Pipes may give a byte at a time. */
    while (result == 0 && u->have < 4 && !u->is_file_over) result = fill(u, err);
    if (result == 0) result = open_packing(u, err);
    if (result == 0) {
        *out = u;
        return 0;
    }
    unpack_free(u);
    return -1;
}

void unpack_free(struct unpack *u)
{
    if (!u) return;
    if (u->packing == PACKING_GZIP) inflateEnd(&u->gzip);
    ZSTD_freeDStream(u->zstd);
    free(u);
}

static int read_plain(struct unpack *u, char *out, size_t room, size_t *got, struct err *err)
{
    if (u->at < u->have) {
        *got = u->have - u->at < room ? u->have - u->at : room;
        memcpy(out, u->input + u->at, *got);
        u->at += *got;
        return 0;
    }
    ssize_t n = read(u->fd, out, room);
    if (n < 0) return err_set(err, "cannot read %s: %s", u->name, strerror(errno));
    *got = (size_t)n;
    u->read_bytes += (uint64_t)n;
    return 0;
}

static int step_gzip(struct unpack *u, char *out, size_t room, size_t *got, struct err *err)
{
    u->gzip.next_in = (Bytef *)u->input + u->at;
    u->gzip.avail_in = (uInt)(u->have - u->at);
    u->gzip.next_out = (Bytef *)out;
    u->gzip.avail_out = (uInt)room;
    int result = inflate(&u->gzip, Z_NO_FLUSH);
    u->at = u->have - u->gzip.avail_in;
    *got = room - u->gzip.avail_out;
    u->is_within = result != Z_STREAM_END;
    if (result == Z_STREAM_END) inflateReset(&u->gzip);
    if (result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR) return 0;
    return damaged(u, u->gzip.msg ? u->gzip.msg : "the gzip data is damaged", err);
}

static int step_zstd(struct unpack *u, char *out, size_t room, size_t *got, struct err *err)
{
    ZSTD_inBuffer in = { u->input + u->at, u->have - u->at, 0 };
    ZSTD_outBuffer to = { out, room, 0 };
    size_t result = ZSTD_decompressStream(u->zstd, &to, &in);
    if (ZSTD_isError(result)) return damaged(u, ZSTD_getErrorName(result), err);
    u->at += in.pos;
    u->is_within = result != 0;
    *got = to.pos;
    return 0;
}

int unpack_read(struct unpack *u, char *out, size_t room, size_t *got, struct err *err)
{
    *got = 0;
    if (u->packing == PACKING_NONE) return read_plain(u, out, room, got, err);
    while (!*got) {
        if (u->at == u->have && !u->is_file_over && fill(u, err) < 0) return -1;
        if (u->at == u->have && u->is_file_over) {
            /* What the unpacker still holds comes without further input. */
            int result = !u->is_within                     ? 0
                         : u->packing == PACKING_GZIP ? step_gzip(u, out, room, got, err)
                                                      : step_zstd(u, out, room, got, err);
            if (result < 0 || *got || !u->is_within) return result;
            return damaged(u, "it ends in the middle of its packed data", err);
        }
        int result = u->packing == PACKING_GZIP ? step_gzip(u, out, room, got, err) : step_zstd(u, out, room, got, err);
        if (result < 0) return -1;
    }
    return 0;
}

uint64_t unpack_consumed(const struct unpack *u)
{
    return u->read_bytes - (u->have - u->at);
}
