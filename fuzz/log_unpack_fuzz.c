/* Any bytes either unpack or end with a sentence, to the same text in pieces of whatever size. The first byte chooses
 * that. What unpacks to more than 4 MiB is left there. */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "logs/unpack.h"

#define UNPACKED_MAX (4u << 20)

static int unpack_all(int fd, char *out, size_t cap, size_t *len)
{
    struct unpack *u;
    struct err err = { "" };
    size_t got = 0;
    int result;
    *len = 0;
    if (lseek(fd, 0, SEEK_SET) < 0 || unpack_new(&u, fd, "fuzz", &err) < 0) abort();
    do {
        size_t room = UNPACKED_MAX - *len < cap ? UNPACKED_MAX - *len : cap;
        result = unpack_read(u, out + *len, room, &got, &err);
        if (got > room || (result < 0 && !err.text[0])) abort();
        if (result == 0) *len += got;
    } while (result == 0 && got && *len < UNPACKED_MAX);
    unpack_free(u);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char whole[UNPACKED_MAX], pieces[UNPACKED_MAX];
    static int fd = -1;
    size_t whole_len, pieces_len;
    if (size < 1) return 0;
    if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (ftruncate(fd, 0) < 0 || pwrite(fd, data + 1, size - 1, 0) != (ssize_t)(size - 1)) abort();
    int result = unpack_all(fd, whole, UNPACKED_MAX, &whole_len);
    int result_in_pieces = unpack_all(fd, pieces, 64 + 64u * data[0], &pieces_len);
    /* Of damaged zstd larger pieces may give less; and what is beyond UNPACKED_MAX was not looked at. */
    bool is_whole = result == 0 && whole_len < UNPACKED_MAX;
    if (is_whole && (result_in_pieces < 0 || pieces_len != whole_len)) abort();
    size_t len = pieces_len < whole_len ? pieces_len : whole_len;
    if (len && memcmp(whole, pieces, len) != 0) abort();
    return 0;
}
