#include "profile/profile_names.h"

#include <string.h>

uint32_t profile_locate(struct profile *p, struct symbolizer *s, uint64_t pc, bool is_return)
{
    struct symbol found;
    struct profile_location l = { .address = pc - (is_return ? 1 : 0) };
    const struct module *m = modules_find(symbolizer_modules(s), l.address);
    if (symbolizer_find(s, pc, is_return, &found) && m) {
        struct profile_mapping mapping = { .start = m->start,
                                           .limit = m->limit,
                                           .file_offset = m->file_offset,
                                           .file = profile_add_string(p, found.module),
                                           .build_id = profile_add_string(p, slice_of(m->build_id)),
                                           .has_functions = true,
                                           .has_lines = found.line != 0 };
        l.mapping = profile_add_mapping(p, &mapping);
    }
    if (found.name.data) {
        struct profile_function f = { .name = profile_add_string(p, found.name),
                                      .file = profile_add_string(p, found.file) };
        l.function = profile_add_function(p, &f);
        l.line = found.line;
    }
    return profile_add_location(p, &l);
}

void profile_add_program(struct profile *p, struct symbolizer *s)
{
    const struct modules *modules = symbolizer_modules(s);
    for (uint32_t i = 0; modules->program && i < modules->count; i++) {
        const struct module *m = &modules->items[i];
        if (strcmp(m->path, modules->program) != 0) continue;
        profile_locate(p, s, m->start, false);
        return;
    }
}
