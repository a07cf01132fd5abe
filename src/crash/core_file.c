#include "crash/core_file.h"

#include <assert.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/procfs.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MACHINE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE EM_AARCH64
#endif

static_assert(sizeof(elf_gregset_t) == sizeof(struct user_regs_struct), "registers as a core file has them");

static int read_at(int fd, uint64_t offset, void *out, size_t len)
{
    char *at = out;
    while (len) {
        if (offset > INT64_MAX) return -1;
        ssize_t n = pread(fd, at, len, (off_t)offset);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return -1;
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

/* memory */

/* May go on from one segment to the next. */
static bool read_memory(const void *context, uint64_t address, void *out, size_t len)
{
    const struct image *i = context;
    char *at = out;
    while (len) {
        const struct image_segment *s = image_segment_of(i, address);
        if (!s || address - s->start >= s->size) return false;
        uint64_t within = address - s->start, part = s->size - within;
        if (part > len) part = len;
        if (s->offset > INT64_MAX - within || read_at(i->fd, s->offset + within, at, part) < 0) return false;
        address += part;
        at += part;
        len -= part;
    }
    return true;
}

/* notes */

static int take_status(struct image *i, const char *data, size_t len, struct err *err)
{
    struct elf_prstatus status;
    if (len < sizeof(status)) return 0;
    memcpy(&status, data, sizeof(status));
    struct image_thread *t = image_add_thread(i, err);
    if (!t) return -1;
    t->tid = status.pr_pid;
    t->signal = status.pr_cursig;
    memcpy(&t->registers, &status.pr_reg, sizeof(t->registers));
    return 0;
}

static void copy_text(char *to, const char *from, size_t len)
{
    size_t i = 0;
    for (; i < len && from[i]; i++) to[i] = from[i] < ' ' || from[i] > '~' ? '?' : from[i];
    to[i] = 0;
}

static void take_process(struct image *i, const char *data, size_t len)
{
    struct elf_prpsinfo info;
    if (len < sizeof(info)) return;
    memcpy(&info, data, sizeof(info));
    i->pid = info.pr_pid;
    copy_text(i->program, info.pr_fname, sizeof(info.pr_fname));
    copy_text(i->arguments, info.pr_psargs, sizeof(info.pr_psargs));
}

/* Their number, the page size, three words for each, then the paths, each terminated. */
static int take_files(struct image *i, const char *data, size_t len, struct err *err)
{
    uint64_t head[2];
    if (len < sizeof(head)) return 0;
    memcpy(head, data, sizeof(head));
    size_t row = 3 * sizeof(uint64_t);
    if (head[0] > (len - sizeof(head)) / row || head[1] > (1u << 30)) return 0;
    const char *path = data + sizeof(head) + head[0] * row, *end = data + len;
    for (uint64_t k = 0; k < head[0] && path < end; k++) {
        uint64_t words[3];
        memcpy(words, data + sizeof(head) + k * row, sizeof(words));
        size_t path_len = strnlen(path, (size_t)(end - path));
        struct image_file f = { .start = words[0], .end = words[1], .offset = words[2] * head[1] };
        if (image_add_file(i, &f, (struct slice){ path, path_len }, err) < 0) return -1;
        path += path_len + 1;
    }
    return 0;
}

static int take_note(struct image *i, uint32_t type, const char *data, size_t len, struct err *err)
{
    switch (type) {
    case NT_PRSTATUS: return take_status(i, data, len, err);
    case NT_PRPSINFO: take_process(i, data, len); return 0;
    case NT_FILE: return take_files(i, data, len, err);
    case NT_SIGINFO:
        if (len >= sizeof(i->info)) memcpy(&i->info, data, sizeof(i->info));
        return 0;
    default: return 0;
    }
}

/* What is cut off is left out. */
static int take_notes(struct image *i, const char *at, size_t left, struct err *err)
{
    Elf64_Nhdr note;
    while (left >= sizeof(note)) {
        memcpy(&note, at, sizeof(note));
        uint64_t name = ((uint64_t)note.n_namesz + 3) & ~UINT64_C(3);
        uint64_t data = ((uint64_t)note.n_descsz + 3) & ~UINT64_C(3);
        at += sizeof(note);
        left -= sizeof(note);
        if (name > left || note.n_descsz > left - name) return 0;
        bool is_core = note.n_namesz == 5 && memcmp(at, "CORE", 5) == 0;
        if (is_core && take_note(i, note.n_type, at + name, note.n_descsz, err) < 0) return -1;
        if (name + data > left) return 0;
        at += name + data;
        left -= name + data;
    }
    return 0;
}

static int read_notes(struct image *i, const Elf64_Phdr *p, uint64_t file_size, struct err *err)
{
    if (p->p_offset > file_size) return 0;
    uint64_t len = p->p_filesz < file_size - p->p_offset ? p->p_filesz : file_size - p->p_offset;
    if (len > CORE_NOTES_MAX)
        return err_set(err, "its notes have more than %u MiB", (unsigned)(CORE_NOTES_MAX >> 20));
    char *data = malloc(len ? len : 1);
    if (!data) return err_set(err, "out of memory for its notes");
    int result = read_at(i->fd, p->p_offset, data, len);
    if (result < 0)
        err_set(err, "its notes cannot be read");
    else
        result = take_notes(i, data, len, err);
    free(data);
    return result;
}

/* headers */

static int add_segment(struct image *i, const Elf64_Phdr *p, uint64_t file_size, struct err *err)
{
    if (!p->p_memsz || p->p_vaddr > UINT64_MAX - p->p_memsz) return 0;
    struct image_segment *s = image_add_segment(i, err);
    if (!s) return -1;
    uint64_t size = p->p_filesz < p->p_memsz ? p->p_filesz : p->p_memsz;
    uint64_t there = p->p_offset < file_size ? file_size - p->p_offset : 0;
    *s = (struct image_segment){ .start = p->p_vaddr,
                                 .end = p->p_vaddr + p->p_memsz,
                                 .offset = p->p_offset,
                                 .size = size < there ? size : there,
                                 .flags = p->p_flags };
    return 0;
}

static int check_header(const Elf64_Ehdr *h, struct err *err)
{
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0) return err_set(err, "it is no ELF file");
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_machine != MACHINE)
        return err_set(err, "it is of another kind of machine");
    if (h->e_type != ET_CORE) return err_set(err, "it is an ELF file, but no core file");
    if (h->e_phentsize != sizeof(Elf64_Phdr))
        return err_set(err, "its program headers are of a size of their own");
    return 0;
}

/* With 65535 or more the number is in the first section header (elf(5), PN_XNUM). */
static int count_headers(int fd, const Elf64_Ehdr *h, uint32_t *count)
{
    Elf64_Shdr s;
    *count = h->e_phnum;
    if (h->e_phnum != PN_XNUM) return 0;
    if (read_at(fd, h->e_shoff, &s, sizeof(s)) < 0) return -1;
    *count = s.sh_info;
    return *count <= IMAGE_SEGMENTS_MAX ? 0 : -1;
}

static int read_headers(struct image *i, struct err *err)
{
    Elf64_Ehdr h;
    struct stat st;
    uint32_t count;
    if (fstat(i->fd, &st) < 0 || read_at(i->fd, 0, &h, sizeof(h)) < 0)
        return err_set(err, "it is no ELF file");
    if (check_header(&h, err) < 0) return -1;
    if (count_headers(i->fd, &h, &count) < 0) return err_set(err, "its headers are cut off, or too many");
    uint64_t size = (uint64_t)st.st_size;
    bool has_notes = false; /* one part of them is all that there is */
    for (uint32_t k = 0; k < count; k++) {
        Elf64_Phdr p;
        if (h.e_phoff > size || read_at(i->fd, h.e_phoff + (uint64_t)k * sizeof(p), &p, sizeof(p)) < 0)
            return err_set(err, "its headers are cut off");
        if (p.p_type == PT_NOTE && !has_notes && read_notes(i, &p, size, err) < 0) return -1;
        has_notes |= p.p_type == PT_NOTE;
        if (p.p_type == PT_LOAD && add_segment(i, &p, size, err) < 0) return -1;
    }
    return 0;
}

int core_file_read(struct image *i, int fd, struct err *err)
{
    i->fd = fd;
    i->memory = (struct memory_view){ .read = read_memory, .context = i };
    if (read_headers(i, err) < 0) return -1;
    image_sort(i);
    return 0;
}

int core_file_open(struct image *i, const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to wait for a pipe's writer */
    if (fd < 0) return err_set(err, "cannot open %s: %s", path, strerror(errno));
    if (core_file_read(i, fd, err) == 0) return 0;
    return err_prefix(err, "%s cannot be read as a core file", path);
}
