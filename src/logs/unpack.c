#include "logs/unpack.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#define PACKED_BYTES (128u << 10)
#define MAGIC_MAX 4u
/* Of zlib's windowBits: 15 is the largest window, 16 asks for gzip's header and checksum. */
#define GZIP_WINDOW_BITS (15 + 16)

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

struct unpack {
    int fd;
    const char *name;
    enum packing packing;
    bool is_started, is_at_end; /* the first bytes were looked at; the file has no more */
    bool is_within;             /* a member has begun and not ended */
    bool is_damaged;
    struct err fault; /* the damage */
    uint64_t base;    /* offset of packed[0] in the file */
    size_t at, len;   /* of `packed`: used, filled */
    z_stream gzip;
    ZSTD_DCtx *zstd;
    unsigned char packed[PACKED_BYTES];
};

int unpack_new(struct unpack **out, int fd, const char *name, struct err *err)
{
    struct unpack *u = malloc(sizeof(*u));
    if (!u) return err_set(err, "out of memory for reading %s", name);
    memset(u, 0, offsetof(struct unpack, packed));
    u->fd = fd;
    u->name = name;
    *out = u;
    return 0;
}

void unpack_free(struct unpack *u)
{
    if (!u) return;
    if (u->packing == PACKING_GZIP) inflateEnd(&u->gzip);
    ZSTD_freeDCtx(u->zstd);
    free(u);
}

uint64_t unpack_consumed(const struct unpack *u)
{
    return u->base + u->at;
}

static ssize_t read_some(const struct unpack *u, void *out, size_t cap)
{
    ssize_t n;
    do n = read(u->fd, out, cap);
    while (n < 0 && errno == EINTR);
    return n;
}

static int cannot_read(const struct unpack *u, struct err *err)
{
    return err_set(err, "cannot read %s at byte %llu: %s", u->name, (unsigned long long)u->base + u->len,
                   strerror(errno));
}

static int damaged(const struct unpack *u, const char *why, struct err *err)
{
    return err_set(err, "%s is damaged at byte %llu: %s", u->name, (unsigned long long)unpack_consumed(u),
                   why);
}

/* More packed bytes behind those that are there; none left over only at the file's end. */
static int fill_input(struct unpack *u, struct err *err)
{
    memmove(u->packed, u->packed + u->at, u->len - u->at);
    u->base += u->at;
    u->len -= u->at;
    u->at = 0;
    if (u->is_at_end) return 0;
    ssize_t n = read_some(u, u->packed + u->len, PACKED_BYTES - u->len);
    if (n < 0) return cannot_read(u, err);
    u->is_at_end = n == 0;
    u->len += (size_t)n;
    return 0;
}

/* So many bytes, unless the file ends before. A pipe may give them one at a time. */
static int fill_to(struct unpack *u, size_t wanted, struct err *err)
{
    while (u->len - u->at < wanted && !u->is_at_end)
        if (fill_input(u, err) < 0) return -1;
    return 0;
}

static bool has_zstd_magic(const unsigned char *p)
{
    bool is_frame = p[0] == 0x28 && p[1] == 0xb5 && p[2] == 0x2f && p[3] == 0xfd;
    bool is_skippable = (p[0] & 0xf0) == 0x50 && p[1] == 0x2a && p[2] == 0x4d && p[3] == 0x18;
    return is_frame || is_skippable;
}

static int start_gzip(struct unpack *u, struct err *err)
{
    if (inflateInit2(&u->gzip, GZIP_WINDOW_BITS) != Z_OK)
        return err_set(err, "out of memory for unpacking %s", u->name);
    u->packing = PACKING_GZIP;
    return 0;
}

static int start_zstd(struct unpack *u, struct err *err)
{
    u->zstd = ZSTD_createDCtx();
    if (!u->zstd) return err_set(err, "out of memory for unpacking %s", u->name);
    ZSTD_DCtx_setParameter(u->zstd, ZSTD_d_windowLogMax, UNPACK_WINDOW_LOG);
    u->packing = PACKING_ZSTD;
    return 0;
}

static int start_stream(struct unpack *u, struct err *err)
{
    if (fill_to(u, MAGIC_MAX, err) < 0) return -1;
    u->is_started = true;
    const unsigned char *p = u->packed;
    /* The third byte of gzip is its method, of which there is one. */
    if (u->len >= 3 && p[0] == 0x1f && p[1] == 0x8b && p[2] == 8) return start_gzip(u, err);
    return u->len >= 4 && has_zstd_magic(p) ? start_zstd(u, err) : 0;
}

static int read_plain(struct unpack *u, char *out, size_t cap, size_t *len, struct err *err)
{
    if (u->at < u->len) {
        *len = u->len - u->at < cap ? u->len - u->at : cap;
        memcpy(out, u->packed + u->at, *len);
        u->at += *len;
        return 0;
    }
    u->base += u->at;
    u->at = u->len = 0;
    ssize_t n = u->is_at_end ? 0 : read_some(u, out, cap);
    if (n < 0) return cannot_read(u, err);
    u->is_at_end = n == 0;
    u->base += (uint64_t)n;
    *len = (size_t)n;
    return 0;
}

static int step_gzip(struct unpack *u, char *out, size_t cap, size_t *len, struct err *err)
{
    uInt given = (uInt)(u->len - u->at), room = cap > UINT32_MAX ? UINT32_MAX : (uInt)cap;
    u->gzip.next_in = u->packed + u->at;
    u->gzip.avail_in = given;
    u->gzip.next_out = (unsigned char *)out;
    u->gzip.avail_out = room;
    int status = inflate(&u->gzip, Z_NO_FLUSH);
    u->at += given - u->gzip.avail_in;
    *len = room - u->gzip.avail_out;
    u->is_within = status != Z_STREAM_END;
    if (status == Z_STREAM_END) {
        inflateReset(&u->gzip);
        return 0;
    }
    if (status == Z_MEM_ERROR) return err_set(err, "out of memory for unpacking %s", u->name);
    if (status == Z_OK || status == Z_BUF_ERROR) return 0;
    return damaged(u, u->gzip.msg ? u->gzip.msg : "it needs a dictionary", err);
}

static int step_zstd(struct unpack *u, char *out, size_t cap, size_t *len, struct err *err)
{
    ZSTD_inBuffer in = { u->packed + u->at, u->len - u->at, 0 };
    ZSTD_outBuffer unpacked = { out, cap, 0 };
    size_t status = ZSTD_decompressStream(u->zstd, &unpacked, &in);
    u->at += in.pos;
    *len = unpacked.pos;
    u->is_within = status != 0;
    return ZSTD_isError(status) ? damaged(u, ZSTD_getErrorName(status), err) : 0;
}

/* Zeros after the last member, as tapes have them, to the file's end. */
static int skip_padding(struct unpack *u, struct err *err)
{
    while (u->at < u->len || !u->is_at_end) {
        while (u->at < u->len && !u->packed[u->at]) u->at++;
        if (u->at < u->len) return damaged(u, "there is something after its end", err);
        if (fill_input(u, err) < 0) return -1;
    }
    return 0;
}

/* After a member: another one, or the end. */
static int next_member(struct unpack *u, bool *is_end, struct err *err)
{
    if (fill_to(u, MAGIC_MAX, err) < 0) return -1;
    if (u->packing == PACKING_GZIP && u->at < u->len && !u->packed[u->at] && skip_padding(u, err) < 0)
        return -1;
    const unsigned char *p = u->packed + u->at;
    size_t left = u->len - u->at;
    *is_end = left == 0;
    bool is_gzip = left >= 2 && p[0] == 0x1f && p[1] == 0x8b;
    bool is_zstd = left >= 4 && has_zstd_magic(p);
    if (*is_end || (u->packing == PACKING_GZIP ? is_gzip : is_zstd)) return 0;
    return damaged(u, "there is something after its end", err);
}

/* Bytes that were unpacked on the way to the damage are given first. */
static int unpack_step(struct unpack *u, char *out, size_t cap, size_t *len, struct err *err)
{
    if (!u->is_damaged) {
        bool is_gzip = u->packing == PACKING_GZIP;
        int result = is_gzip ? step_gzip(u, out, cap, len, &u->fault)
                             : step_zstd(u, out, cap, len, &u->fault);
        u->is_damaged = result < 0;
        if (!u->is_damaged || *len) return 0;
    }
    return err_set(err, "%s", u->fault.text);
}

int unpack_read(struct unpack *u, char *out, size_t cap, size_t *len, struct err *err)
{
    *len = 0;
    assert(cap > 0);
    if (!u->is_started && start_stream(u, err) < 0) return -1;
    if (u->packing == PACKING_NONE) return read_plain(u, out, cap, len, err);
    /* Empty members and headers give nothing: on to what does. */
    while (*len == 0) {
        bool is_end = false;
        if (!u->is_within && next_member(u, &is_end, err) < 0) return -1;
        if (is_end) return 0;
        size_t before = u->at;
        if (unpack_step(u, out, cap, len, err) < 0) return -1;
        if (*len || u->at != before || !u->is_within) continue;
        bool was_at_end = u->is_at_end;
        if (fill_input(u, err) < 0) return -1;
        if (was_at_end) return damaged(u, "it ends within a member; was it cut off?", err);
    }
    return 0;
}
