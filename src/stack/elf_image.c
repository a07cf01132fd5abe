#include "stack/elf_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool read_at(const struct elf_image *image, void *out, uint64_t size, uint64_t offset)
{
    if (offset > image->size || size > image->size - offset) return false;
    if (image->fd < 0) {
        memcpy(out, image->memory + offset, size);
        return true;
    }
    for (uint64_t got = 0; got < size;) {
        ssize_t n = pread(image->fd, (uint8_t *)out + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        got += (uint64_t)n;
    }
    return true;
}

uint8_t *elf_load(const struct elf_image *image, uint64_t offset, uint64_t size)
{
    if (!size || size > ELF_PART_MAX) return NULL;
    uint8_t *memory = malloc(size + 1);
    if (memory && read_at(image, memory, size, offset)) {
        memory[size] = 0;
        return memory;
    }
    free(memory);
    return NULL;
}

/* Those of files have sections; of the vDSO they may be missing. */
static void load_sections(struct elf_image *image)
{
    const Elf64_Ehdr *h = &image->header;
    if (!h->e_shnum || h->e_shnum > ELF_HEADERS_MAX || h->e_shentsize != sizeof(Elf64_Shdr)) return;
    image->sections = (Elf64_Shdr *)(void *)elf_load(image, h->e_shoff,
                                                     (uint64_t)h->e_shnum * sizeof(Elf64_Shdr));
    if (!image->sections || h->e_shstrndx >= h->e_shnum) return;
    image->section_count = h->e_shnum;
    const Elf64_Shdr *names = &image->sections[h->e_shstrndx];
    if (names->sh_size <= ELF_NAMES_MAX)
        image->names = (char *)elf_load(image, names->sh_offset, names->sh_size);
    image->names_len = image->names ? names->sh_size : 0;
}

static int load_headers(struct elf_image *image, struct err *err)
{
    Elf64_Ehdr *h = &image->header;
    if (!read_at(image, h, sizeof(*h), 0) || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0) {
        err_set(err, "it is no ELF file");
        return -1;
    }
    if (h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB ||
        h->e_machine != EM_X86_64) {
        err_set(err, "it is no ELF file of x86-64");
        return -1;
    }
    if (h->e_phnum && h->e_phnum <= ELF_HEADERS_MAX && h->e_phentsize == sizeof(Elf64_Phdr))
        image->segments = (Elf64_Phdr *)(void *)elf_load(image, h->e_phoff,
                                                         (uint64_t)h->e_phnum * sizeof(Elf64_Phdr));
    image->segment_count = image->segments ? h->e_phnum : 0;
    load_sections(image);
    return 0;
}

int elf_open_fd(struct elf_image *image, int fd, struct err *err)
{
    struct stat st;
    *image = (struct elf_image){ .fd = fd };
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        err_set(err, "it is no regular file");
        elf_close(image);
        return -1;
    }
    image->size = (uint64_t)st.st_size;
    if (load_headers(image, err) == 0) return 0;
    elf_close(image);
    return -1;
}

int elf_open_memory(struct elf_image *image, const void *memory, size_t size, struct err *err)
{
    *image = (struct elf_image){ .fd = -1, .memory = memory, .size = size };
    if (load_headers(image, err) == 0) return 0;
    elf_close(image);
    return -1;
}

void elf_close(struct elf_image *image)
{
    if (image->fd >= 0) close(image->fd);
    free(image->segments);
    free(image->sections);
    free(image->names);
    *image = (struct elf_image){ .fd = -1 };
}

const Elf64_Shdr *elf_section(const struct elf_image *image, const char *name)
{
    for (uint32_t i = 0; i < image->section_count; i++) {
        uint32_t at = image->sections[i].sh_name;
        if (at < image->names_len && strcmp(image->names + at, name) == 0) return &image->sections[i];
    }
    return NULL;
}

const Elf64_Shdr *elf_section_of_type(const struct elf_image *image, uint32_t type)
{
    for (uint32_t i = 0; i < image->section_count; i++)
        if (image->sections[i].sh_type == type) return &image->sections[i];
    return NULL;
}

bool elf_address_of(const struct elf_image *image, uint64_t offset, uint64_t *address)
{
    bool is_found = false;
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const Elf64_Phdr *p = &image->segments[i];
        uint64_t from = p->p_offset & ~UINT64_C(4095);
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || offset < from ||
            offset - from >= p->p_filesz + (p->p_offset - from))
            continue;
        *address = p->p_vaddr - (p->p_offset - from) + (offset - from);
        is_found = true;
        if (p->p_flags & PF_X) break;
    }
    return is_found;
}

bool elf_offset_of(const struct elf_image *image, uint64_t address, uint64_t *offset)
{
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const Elf64_Phdr *p = &image->segments[i];
        if (p->p_type != PT_LOAD || address < p->p_vaddr || address - p->p_vaddr >= p->p_filesz) continue;
        *offset = p->p_offset + (address - p->p_vaddr);
        return true;
    }
    return false;
}

/* build id */

static bool find_note(const uint8_t *notes, uint64_t size, char out[ELF_BUILD_ID_MAX + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (uint64_t at = 0; size - at >= sizeof(Elf64_Nhdr);) {
        Elf64_Nhdr n;
        memcpy(&n, notes + at, sizeof(n));
        at += sizeof(n);
        uint64_t name_len = ((uint64_t)n.n_namesz + 3) & ~UINT64_C(3),
                 len = ((uint64_t)n.n_descsz + 3) & ~UINT64_C(3);
        if (name_len > size - at || len > size - at - name_len) return false;
        bool is_id = n.n_type == NT_GNU_BUILD_ID && n.n_namesz == 4 && memcmp(notes + at, "GNU", 4) == 0;
        at += name_len;
        if (is_id && n.n_descsz <= ELF_BUILD_ID_MAX / 2) {
            for (uint32_t i = 0; i < n.n_descsz; i++) {
                out[2 * i] = digits[notes[at + i] >> 4];
                out[2 * i + 1] = digits[notes[at + i] & 15];
            }
            out[2 * n.n_descsz] = 0;
            return true;
        }
        at += len;
    }
    return false;
}

void elf_build_id(const struct elf_image *image, char out[ELF_BUILD_ID_MAX + 1])
{
    bool is_found = false;
    uint32_t looked_into = 0;
    out[0] = 0;
    for (uint32_t i = 0; i < image->segment_count && !is_found && looked_into < ELF_NOTES_MAX; i++) {
        const Elf64_Phdr *p = &image->segments[i];
        if (p->p_type != PT_NOTE || p->p_filesz > 65536) continue;
        looked_into++;
        uint8_t *notes = elf_load(image, p->p_offset, p->p_filesz);
        is_found = notes && find_note(notes, p->p_filesz, out);
        free(notes);
    }
}
