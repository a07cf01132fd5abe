/* stack/symbolizer.h: addresses of a process to functions, files and lines: .symtab, static functions included, else
 * .dynsym, of the file itself or of its debug file (by build id, or by its debug link); lines through libdw, which is loaded
 * when they are first asked for and need not be there; for code that was made at run time, what its compiler says
 * (code_map.h). One thread. */
#pragma once

#include "base/slice.h"
#include "observe/notes.h"
#include "stack/modules.h"

struct symbolizer;

struct symbol {
    struct slice name;   /* without data: not known */
    struct slice module; /* the path as it is mapped; without data: of no module */
    struct slice file;   /* of the source; without data: not known */
    uint32_t line;
    uint64_t offset; /* from the function's start */
};

/* `modules` is borrowed for its life. */
MUST_CHECK int symbolizer_new(struct symbolizer **out, const struct modules *modules, struct err *err);
void symbolizer_free(struct symbolizer *s); /* NULL is fine */
const struct modules *symbolizer_modules(const struct symbolizer *s);
/* `is_return`: pc is a return address, so the call before it is meant. Everything in *out lives as long as the
 * symbolizer. False: neither a name nor the module is known. */
bool symbolizer_find(struct symbolizer *s, uint64_t pc, bool is_return, struct symbol *out);
/* Without lines, which are slow to be found for the first time. */
void symbolizer_leave_out_lines(struct symbolizer *s);
/* What could not be read. */
void symbolizer_add_notes(const struct symbolizer *s, struct notes *notes);
