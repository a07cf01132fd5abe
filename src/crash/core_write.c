#include "crash/core_write.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <unistd.h>

#define PAGE_BYTES ((uint64_t)4096)
#define PIECE_PAGES 256u
#define AUXV_MAX 4096
/* /proc/PID/pagemap (Linux Documentation/admin-guide/mm/pagemap.rst): in memory, or in swap. */
#define PAGE_IS_THERE (UINT64_C(3) << 62)

static int write_at(int fd, uint64_t offset, const void *data, size_t len, struct err *err)
{
    const char *at = data;
    while (len) {
        ssize_t n = pwrite(fd, at, len, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0)
            return err_set(err, "cannot write the core file: %s",
                           n < 0 ? strerror(errno) : "the disk is full");
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* notes */

struct notes {
    char *data;
    size_t len, room;
    bool is_failed;
};

static void put_in_note(struct notes *n, const void *data, size_t len)
{
    size_t whole = (len + 3) & ~(size_t)3;
    if (n->len + whole > n->room && !n->is_failed) {
        size_t room = (n->len + whole) * 2;
        char *grown = realloc(n->data, room);
        n->is_failed = !grown;
        if (grown) n->data = grown, n->room = room;
    }
    if (n->is_failed) return;
    memset(n->data + n->len, 0, whole);
    if (len) memcpy(n->data + n->len, data, len);
    n->len += whole;
}

static void put_note(struct notes *n, const char *owner, uint32_t type, const void *data, size_t len)
{
    Elf64_Nhdr head = { .n_namesz = (uint32_t)strlen(owner) + 1, .n_descsz = (uint32_t)len, .n_type = type };
    put_in_note(n, &head, sizeof(head));
    put_in_note(n, owner, head.n_namesz);
    put_in_note(n, data, len);
}

static void put_process(struct notes *n, const struct image *i)
{
    struct elf_prpsinfo info = { .pr_pid = i->pid, .pr_sname = 'S' };
    memcpy(info.pr_fname, i->program, strnlen(i->program, sizeof(info.pr_fname) - 1));
    memcpy(info.pr_psargs, i->arguments, strnlen(i->arguments, sizeof(info.pr_psargs) - 1));
    put_note(n, "CORE", NT_PRPSINFO, &info, sizeof(info));
}

static void put_auxv(struct notes *n, const struct image *i)
{
    char path[64], data[AUXV_MAX];
    snprintf(path, sizeof(path), "/proc/%d/auxv", i->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, data, sizeof(data));
    if (fd >= 0) close(fd);
    if (len > 0) put_note(n, "CORE", NT_AUXV, data, (size_t)len);
}

static void put_files(struct notes *n, const struct image *i)
{
    struct notes body = { 0 };
    uint64_t head[2] = { i->file_count, PAGE_BYTES };
    put_in_note(&body, head, sizeof(head));
    for (uint32_t k = 0; k < i->file_count; k++) {
        const struct image_file *f = &i->files[k];
        uint64_t row[3] = { f->start, f->end, f->offset / PAGE_BYTES };
        put_in_note(&body, row, sizeof(row));
    }
    size_t rows = body.len, paths = 0;
    for (uint32_t k = 0; k < i->file_count; k++) paths += strlen(i->files[k].path) + 1;
    char *text = malloc(paths + 1);
    if (text) {
        size_t at = 0;
        for (uint32_t k = 0; k < i->file_count; k++) {
            size_t len = strlen(i->files[k].path) + 1;
            memcpy(text + at, i->files[k].path, len);
            at += len;
        }
        put_in_note(&body, text, paths);
    }
    if (!text || body.is_failed)
        n->is_failed = true;
    else
        put_note(n, "CORE", NT_FILE, body.data, rows + paths);
    free(text);
    free(body.data);
}

/* Vector registers are left out: what was last moved through them is payload more often than not. */
static void put_threads(struct notes *n, const struct image *i)
{
    for (uint32_t k = 0; k < i->thread_count; k++) {
        const struct image_thread *t = &i->threads[k];
        struct elf_prstatus status = { .pr_pid = t->tid };
        memcpy(&status.pr_reg, &t->registers, sizeof(status.pr_reg));
        put_note(n, "CORE", NT_PRSTATUS, &status, sizeof(status));
        if (k == 0) {
            put_process(n, i);
            put_auxv(n, i);
            put_files(n, i);
        }
    }
}

/* memory */

/* How much of a mapping is written: all of what is the process's own, the first page of a file for its ELF header. */
static uint64_t dumped_bytes(const struct vm_area *m)
{
    if (m->is_left_out || m->is_shared || strcmp(m->path, "[vsyscall]") == 0 ||
        strcmp(m->path, "[vvar]") == 0)
        return 0;
    if (m->has_own || (!m->is_file && m->can_read)) return m->end - m->start;
    return m->offset == 0 && m->can_read ? PAGE_BYTES : 0;
}

uint64_t core_write_size(const struct stopped *s)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < s->areas.count; i++) bytes += dumped_bytes(&s->areas.items[i]);
    return bytes;
}

struct copying {
    const struct stopped *s;
    int fd, pagemap_fd;
    char *piece;
    struct err *err;
};

static int copy_pages(const struct copying *c, uint64_t address, uint64_t offset, uint32_t pages)
{
    size_t len = pages * PAGE_BYTES;
    /* What cannot be read, a guard page say, is left as a hole. */
    if (!memory_read(&c->s->image.memory, address, c->piece, len)) return 0;
    return write_at(c->fd, offset, c->piece, len, c->err);
}

/* Runs of pages that are there. */
static int copy_range(const struct copying *c, uint64_t address, uint64_t offset, uint64_t bytes,
                      bool is_file)
{
    uint64_t map[PIECE_PAGES];
    for (uint64_t at = 0; at < bytes; at += PIECE_PAGES * PAGE_BYTES) {
        uint64_t left = (bytes - at) / PAGE_BYTES;
        uint32_t pages = left < PIECE_PAGES ? (uint32_t)left : PIECE_PAGES, run = 0;
        ssize_t got = pread(c->pagemap_fd, map, pages * sizeof(*map),
                            (off_t)((address + at) / PAGE_BYTES * sizeof(*map)));
        bool is_known = got == (ssize_t)(pages * sizeof(*map)) && !is_file;
        for (uint32_t i = 0; i <= pages; i++) {
            if (i < pages && (!is_known || map[i] & PAGE_IS_THERE)) {
                run++;
                continue;
            }
            uint64_t from = at + (i - run) * PAGE_BYTES;
            if (run && copy_pages(c, address + from, offset + from, run) < 0) return -1;
            run = 0;
        }
    }
    return 0;
}

static int copy_memory(const struct stopped *s, int fd, const Elf64_Phdr *headers, struct err *err)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/pagemap", s->image.pid);
    struct copying c = { .s = s, .fd = fd, .err = err, .piece = malloc(PIECE_PAGES * PAGE_BYTES) };
    if (!c.piece) return err_set(err, "out of memory for copying");
    c.pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
    int result = 0;
    for (uint32_t i = 0; result == 0 && i < s->areas.count; i++) {
        const struct vm_area *m = &s->areas.items[i];
        const Elf64_Phdr *p = &headers[i];
        if (p->p_filesz) result = copy_range(&c, m->start, p->p_offset, p->p_filesz, m->is_file);
    }
    if (c.pagemap_fd >= 0) close(c.pagemap_fd);
    free(c.piece);
    return result;
}

/* headers */

static Elf64_Ehdr make_header(uint32_t count)
{
    Elf64_Ehdr h = { .e_type = ET_CORE,
                     .e_version = EV_CURRENT,
                     .e_phoff = sizeof(Elf64_Ehdr),
                     .e_ehsize = sizeof(Elf64_Ehdr),
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = (uint16_t)count };
    memcpy(h.e_ident, ELFMAG, SELFMAG);
    h.e_ident[EI_CLASS] = ELFCLASS64;
    h.e_ident[EI_DATA] = ELFDATA2LSB;
    h.e_ident[EI_VERSION] = EV_CURRENT;
#if defined(__x86_64__)
    h.e_machine = EM_X86_64;
#elif defined(__aarch64__)
    h.e_machine = EM_AARCH64;
#endif
    return h;
}

static uint64_t make_load(const struct stopped *s, Elf64_Phdr *headers, uint64_t offset)
{
    for (uint32_t i = 0; i < s->areas.count; i++) {
        const struct vm_area *m = &s->areas.items[i];
        headers[i] = (Elf64_Phdr){ .p_type = PT_LOAD,
                                   .p_flags = s->image.segments[i].flags,
                                   .p_offset = offset,
                                   .p_vaddr = m->start,
                                   .p_filesz = dumped_bytes(m),
                                   .p_memsz = m->end - m->start,
                                   .p_align = PAGE_BYTES };
        offset += headers[i].p_filesz;
    }
    return offset;
}

static int write_core(const struct stopped *s, int fd, const struct notes *n, Elf64_Phdr *headers,
                      uint64_t *bytes, struct err *err)
{
    uint32_t count = s->areas.count + 1;
    uint64_t notes_at = sizeof(Elf64_Ehdr) + count * sizeof(*headers);
    uint64_t memory_at = (notes_at + n->len + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    Elf64_Ehdr h = make_header(count);
    headers[0] = (Elf64_Phdr){ .p_type = PT_NOTE, .p_offset = notes_at, .p_filesz = n->len, .p_align = 4 };
    *bytes = make_load(s, headers + 1, memory_at);
    if (ftruncate(fd, (off_t)*bytes) < 0)
        return err_set(err, "cannot write the core file: %s", strerror(errno));
    if (write_at(fd, 0, &h, sizeof(h), err) < 0 ||
        write_at(fd, sizeof(h), headers, count * sizeof(*headers), err) < 0 ||
        write_at(fd, notes_at, n->data, n->len, err) < 0)
        return -1;
    return copy_memory(s, fd, headers + 1, err);
}

int core_write(const struct stopped *s, int fd, uint64_t *bytes, struct err *err)
{
    if (s->areas.count >= PN_XNUM - 1)
        return err_set(err, "the process has %u mappings, a core file has room for %d", s->areas.count,
                       PN_XNUM - 2);
    struct notes n = { 0 };
    Elf64_Phdr *headers = calloc(s->areas.count + 1, sizeof(*headers));
    put_threads(&n, &s->image);
    int result = headers && !n.is_failed ? write_core(s, fd, &n, headers, bytes, err)
                                         : err_set(err, "out of memory for the core file's headers");
    free(headers);
    free(n.data);
    return result;
}
