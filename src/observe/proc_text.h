/* observe/proc_text.h: lines, words and numbers of the files in /proc and of cgroups (proc(5), the kernel's
 * Documentation/admin-guide/cgroup-v2.rst). Pure. Whatever is no number of 64 bits is no number. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Takes the next line off `rest`, without its newline; false when nothing is left. */
bool proc_take_line(struct slice *rest, struct slice *line);
/* Takes the next word, after blanks; false when there is none. */
bool proc_take_word(struct slice *rest, struct slice *word);
/* Takes one character, if it is the next. */
bool proc_take_char(struct slice *rest, char c);
/* Takes a decimal or hexadecimal number, after blanks. On false `rest` is as before, and *out too. */
bool proc_take_u64(struct slice *rest, uint64_t *out);
bool proc_take_hex(struct slice *rest, uint64_t *out);
/* A whole slice as a decimal number. */
bool proc_u64(struct slice text, uint64_t *out);

/* A line "key: 12 kB" or "key 12": where its number goes, times `scale`. */
struct proc_field {
    const char *key;
    size_t offset; /* of a uint64_t */
    uint64_t scale;
};

#define PROC_FIELDS_MAX 32u
/* Fills in what the lines of `text` tell; the set of rows that were found, as bits. At most PROC_FIELDS_MAX rows. */
uint32_t proc_fields_read(struct slice text, const struct proc_field *fields, uint32_t count, void *out);
/* The same of one line: the row that it is, or `count`. */
uint32_t proc_field_read(struct slice line, const struct proc_field *fields, uint32_t count, void *out);
