/* Files that are mapped in a process: whatever headers, symbols, notes and unwinding tables say, there is an end, and no read
 * outside. The file is the kernel's own vDSO, small and whole, with bytes changed: three bytes of the input each, a place and
 * a value. If the first byte is odd, it is the input as it is. The last 32 bytes are registers and what memory is made of. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stack/symbolizer.h"
#include "stack/unwind.h"

#define START UINT64_C(0x400000)
#define TAIL 32u
#define FILE_MAX (64u << 10)

static bool read_word(void *context, uint64_t address, uint64_t *out)
{
    const uint64_t *seed = context;
    if (address < 4096) return false;
    /* Now an address within the file, now anything. */
    uint64_t word = (address ^ *seed) * UINT64_C(0x9e3779b97f4a7c15);
    *out = word & 64 ? START + (word >> 48) : address + (word >> 56);
    return true;
}

static void walk(const struct modules *m, const uint64_t tail[4])
{
    struct unwind_space *space = NULL;
    struct err err;
    uint64_t pcs[UNWIND_DEPTH_MAX], seed = tail[3];
    if (unwind_space_new(&space, m, &err) < 0) return;
    uint64_t unknown = 0;
    const struct unwind_memory memory = { read_word, &seed, &unknown };
    for (unsigned i = 0; i < 16; i++) {
        struct unwind_registers regs = { START + (tail[0] >> i) % 65536, tail[1], tail[2], i & 1 };
        uint32_t depth = unwind_stack(space, &regs, &memory, pcs, UNWIND_DEPTH_MAX);
        if (depth < 1 || depth > UNWIND_DEPTH_MAX) abort();
    }
    unwind_space_free(space);
}

static void name(const struct modules *m, uint64_t seed)
{
    struct symbolizer *s = NULL;
    struct symbol found;
    struct err err;
    uint64_t sum = 0;
    if (symbolizer_new(&s, m, &err) < 0) return;
    symbolizer_leave_out_lines(s);
    for (unsigned i = 0; i < 16; i++) {
        if (!symbolizer_find(s, START + (seed >> i) % 65536, i & 1, &found)) continue;
        for (size_t k = 0; k < found.name.len; k++) sum += (unsigned char)found.name.data[k];
    }
    if (sum == UINT64_MAX) abort(); /* it is read, all of it */
    symbolizer_free(s);
}

/* Up to the end of its section headers, which come last. */
static size_t copy_vdso(uint8_t out[FILE_MAX])
{
    const uint8_t *vdso = (const uint8_t *)getauxval(AT_SYSINFO_EHDR); // NOLINT(performance-no-int-to-ptr)
    Elf64_Ehdr head;
    if (!vdso) return 0;
    memcpy(&head, vdso, sizeof(head));
    size_t size = head.e_shoff + (size_t)head.e_shnum * head.e_shentsize;
    if (size > FILE_MAX) return 0;
    memcpy(out, vdso, size);
    return size;
}

static size_t make_file(const uint8_t *data, size_t size, uint8_t out[FILE_MAX])
{
    size_t made = size && !(data[0] & 1) ? copy_vdso(out) : 0;
    if (!made) {
        if (size) memcpy(out, data, size);
        return size;
    }
    for (size_t at = 1; at + 3 <= size; at += 3)
        out[((size_t)data[at] << 8 | data[at + 1]) % made] = data[at + 2];
    return made;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t tail[TAIL / 8];
    char path[64];
    struct stat st;
    static uint8_t file[FILE_MAX];
    if (size < TAIL || size - TAIL > FILE_MAX) return 0;
    memcpy(tail, data + size - TAIL, TAIL);
    int fd = memfd_create("module", MFD_CLOEXEC);
    size_t len = make_file(data, size - TAIL, file);
    if (fd < 0 || write(fd, file, len) != (ssize_t)len || fstat(fd, &st) < 0) abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct module one = {
        .start = START, .limit = START + 65536, .inode = st.st_ino, .path = path, .has_bias = true
    };
    one.bias = START;
    const struct modules m = { .items = &one, .count = 1 };
    walk(&m, tail);
    name(&m, tail[0]);
    close(fd);
    return 0;
}
