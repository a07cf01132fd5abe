/* crash/crash_modules.h: which files' code is mapped where, found beforehand: what turns an address into "weir+0x1234", which
 * addr2line understands. Immutable once read, so a signal handler may look things up. */
#pragma once

#include <stdint.h>

#include "base/text.h"

#define CRASH_MODULES_MAX 64u
#define CRASH_MODULE_NAME_MAX 64u

struct crash_module {
    uint64_t bias;                    /* subtracted from an address it gives the one in the file */
    uint64_t start, end;              /* of its executable memory */
    char name[CRASH_MODULE_NAME_MAX]; /* without directories */
};

struct crash_modules {
    struct crash_module items[CRASH_MODULES_MAX];
    uint32_t count;
};

/* Those of the calling process. */
void crash_modules_read(struct crash_modules *list);
/* NULL: none has it. */
const struct crash_module *crash_module_of(const struct crash_modules *list, uint64_t address);
/* "weir+0x1234", or "?" where no module is. */
void crash_modules_print(const struct crash_modules *list, uint64_t address, struct text *out);

#define BUILD_ID_MAX 20u
/* The calling program's GNU build id; returns its length, 0: it has none. */
uint32_t crash_build_id(unsigned char out[BUILD_ID_MAX]);
