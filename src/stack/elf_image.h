/* stack/elf_image.h: an ELF file of x86-64, or what is mapped of one (the vDSO), read in parts on demand: sections and
 * segments by what they are for. Everything in it may be wrong: sizes are bounded, and a file that is cut or changed
 * while it is read gives less, never a fault. One thread. */
#pragma once

#include <elf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#if !defined(__x86_64__)
#error "weir's profiler knows the registers and the unwind tables of x86-64 only"
#endif

#define ELF_PART_MAX (256u << 20)
#define ELF_HEADERS_MAX 4096u
#define ELF_NAMES_MAX (1u << 20) /* of sections: those of linked files have a few hundred bytes */
#define ELF_NOTES_MAX 16u        /* segments of notes that are looked into */
#define ELF_BUILD_ID_MAX 40u     /* hexadecimal digits */

struct elf_image {
    int fd;                /* -1: memory */
    const uint8_t *memory; /* borrowed */
    uint64_t size;
    Elf64_Ehdr header;
    Elf64_Phdr *segments; /* owned */
    Elf64_Shdr *sections; /* likewise; NULL: none */
    uint32_t segment_count, section_count;
    char *names; /* of sections; owned, terminated */
    uint64_t names_len;
};

/* Takes the descriptor, even if it fails. */
MUST_CHECK int elf_open_fd(struct elf_image *image, int fd, struct err *err);
MUST_CHECK int elf_open_memory(struct elf_image *image, const void *memory, size_t size, struct err *err);
void elf_close(struct elf_image *image);

/* NULL: there is none. */
const Elf64_Shdr *elf_section(const struct elf_image *image, const char *name);
const Elf64_Shdr *elf_section_of_type(const struct elf_image *image, uint32_t type);
/* All of it, for the caller to free, with a zero byte behind; NULL: it cannot be had. */
uint8_t *elf_load(const struct elf_image *image, uint64_t offset, uint64_t size);
/* The address in the file of the code that is mapped from `offset` on, a page's beginning; false: no executable segment holds
 * it. Linkers may let segments share a page of the file (mold does), so what else begins there says nothing. */
bool elf_address_of(const struct elf_image *image, uint64_t offset, uint64_t *address);
/* And where in the file an address is. */
bool elf_offset_of(const struct elf_image *image, uint64_t address, uint64_t *offset);
/* Hexadecimal; "" if there is none. */
void elf_build_id(const struct elf_image *image, char out[ELF_BUILD_ID_MAX + 1]);
