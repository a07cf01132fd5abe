/* crash/core_file.h: reads ELF core files as Linux writes them (core(5), elf(5)): headers and notes at once, memory when
 * it is asked for. */
#pragma once

#include "stack/image.h"

/* Notes of more than this are refused; the kernel's have some hundred bytes a thread and mapped file. */
#define CORE_NOTES_MAX ((uint64_t)256 << 20)

/* image: initialised; to be given back with image_fini() either way. */
MUST_CHECK int core_file_open(struct image *i, const char *path, struct err *err);
/* The same from a descriptor, which is taken. */
MUST_CHECK int core_file_read(struct image *i, int fd, struct err *err);
