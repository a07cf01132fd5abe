/* perf/module.h: which files' code is mapped where, found beforehand: what turns an address into "weir+0x1234", which
 * addr2line understands. Immutable once read, so a signal handler may look things up. */
#pragma once

#include <stdint.h>

#include "base/text.h"

#define MODULES_MAX 64u
#define MODULE_NAME_MAX 64u

struct module {
    uint64_t bias;              /* subtracted from an address it gives the one in the file */
    uint64_t start, end;        /* of its executable memory */
    char name[MODULE_NAME_MAX]; /* without directories */
};

struct module_list {
    struct module items[MODULES_MAX];
    uint32_t count;
};

/* Those of the calling process. */
void modules_read(struct module_list *list);
/* NULL: none has it. */
const struct module *module_of(const struct module_list *list, uint64_t address);
/* "weir+0x1234", or "?" where no module is. */
void module_print(const struct module_list *list, uint64_t address, struct text *out);

#define BUILD_ID_MAX 20u
/* The calling program's GNU build id; returns its length, 0: it has none. */
uint32_t module_build_id(unsigned char out[BUILD_ID_MAX]);
