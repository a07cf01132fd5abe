#include "crash/crash_modules.h"

#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void name_program(char out[CRASH_MODULE_NAME_MAX])
{
    char path[512];
    ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
    path[len > 0 ? len : 0] = 0;
    const char *slash = strrchr(path, '/');
    snprintf(out, CRASH_MODULE_NAME_MAX, "%.*s", (int)CRASH_MODULE_NAME_MAX - 1, slash ? slash + 1 : "weir");
}

static int add_module(struct dl_phdr_info *info, size_t size, void *argument)
{
    struct crash_modules *list = argument;
    (void)size;
    if (list->count == CRASH_MODULES_MAX) return 1;
    struct crash_module *m = &list->items[list->count];
    *m = (struct crash_module){ .bias = info->dlpi_addr, .start = UINT64_MAX };
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X)) continue;
        uint64_t start = info->dlpi_addr + p->p_vaddr;
        if (start < m->start) m->start = start;
        if (start + p->p_memsz > m->end) m->end = start + p->p_memsz;
    }
    const char *slash = strrchr(info->dlpi_name, '/');
    if (info->dlpi_name[0])
        snprintf(m->name, sizeof(m->name), "%.*s", (int)CRASH_MODULE_NAME_MAX - 1,
                 slash ? slash + 1 : info->dlpi_name);
    else
        name_program(m->name);
    list->count++;
    return 0;
}

void crash_modules_read(struct crash_modules *list)
{
    list->count = 0;
    dl_iterate_phdr(add_module, list);
}

const struct crash_module *crash_module_of(const struct crash_modules *list, uint64_t address)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (address >= list->items[i].start && address < list->items[i].end) return &list->items[i];
    return NULL;
}

void crash_modules_print(const struct crash_modules *list, uint64_t address, struct text *out)
{
    const struct crash_module *m = crash_module_of(list, address);
    if (!m) {
        text_add_char(out, '?');
        return;
    }
    uint64_t offset = address - m->bias;
    unsigned digits = 1;
    while (digits < 16 && offset >> 4 * digits) digits++;
    text_add_slice(out, slice_of(m->name));
    TEXT_LITERAL(out, "+0x");
    text_add_hex(out, offset, digits);
}

struct build_id {
    unsigned char *bytes;
    uint32_t len;
};

static void find_build_id(const char *at, size_t left, struct build_id *id)
{
    ElfW(Nhdr) note;
    while (left >= sizeof(note)) {
        memcpy(&note, at, sizeof(note));
        size_t name = (note.n_namesz + 3u) & ~(size_t)3,
               all = sizeof(note) + name + ((note.n_descsz + 3u) & ~(size_t)3);
        if (all > left) return;
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            memcmp(at + sizeof(note), "GNU", 4) == 0) {
            id->len = note.n_descsz < BUILD_ID_MAX ? note.n_descsz : BUILD_ID_MAX;
            memcpy(id->bytes, at + sizeof(note) + name, id->len);
            return;
        }
        at += all;
        left -= all;
    }
}

/* The program itself is the first that is reported. */
static int read_build_id(struct dl_phdr_info *info, size_t size, void *argument)
{
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_NOTE)
            find_build_id((const char *)(uintptr_t)(info->dlpi_addr + p->p_vaddr), p->p_memsz, argument);
    }
    return 1;
}

uint32_t crash_build_id(unsigned char out[BUILD_ID_MAX])
{
    struct build_id id = { .bytes = out };
    dl_iterate_phdr(read_build_id, &id);
    return id.len;
}
