#include "crash/image_stacks.h"

#include <stdlib.h>
#include <string.h>

#include "stack/unwind.h"

struct image_stacks {
    const struct image *image;
    struct modules *modules;
    struct unwind_space *space;
    struct symbolizer *names; /* NULL: there are none */
};

struct image_stacks *image_stacks_new(const struct image *image, bool is_living)
{
    struct image_stacks *s = calloc(1, sizeof(*s));
    struct err err;
    if (!s) return NULL;
    s->image = image;
    int result = is_living ? modules_read(&s->modules, image->pid, &err)
                           : modules_of_image(&s->modules, image, &err);
    if (result < 0) return s;
    if (unwind_space_new(&s->space, s->modules, &err) < 0) s->space = NULL;
    if (symbolizer_new(&s->names, s->modules, &err) < 0) s->names = NULL;
    return s;
}

void image_stacks_free(struct image_stacks *s)
{
    if (!s) return;
    symbolizer_free(s->names);
    unwind_space_free(s->space);
    modules_free(s->modules);
    free(s);
}

static bool read_image_word(void *context, uint64_t address, uint64_t *out)
{
    const struct image *image = context;
    return memory_read(&image->memory, address, out, sizeof(*out));
}

uint32_t image_stacks_walk(const struct image_stacks *s, const struct image_thread *t, uint64_t *pcs,
                           uint32_t max)
{
    const struct user_regs_struct *r = &t->registers;
    if (!s->space) return stack_by_frame_pointers(r, &s->image->memory, pcs, max);
    const struct unwind_registers regs = { .ip = registers_pc(r),
                                           .sp = registers_sp(r),
                                           .bp = registers_fp(r) };
    const struct unwind_memory memory = { .read_word = read_image_word,
                                          .context = (void *)(uintptr_t)s->image };
    return unwind_stack(s->space, &regs, &memory, pcs, max);
}

static struct slice file_name(struct slice path)
{
    const char *slash = memrchr(path.data, '/', path.len);
    return slash ? (struct slice){ slash + 1, (size_t)(path.data + path.len - slash - 1) } : path;
}

bool image_stacks_name(struct image_stacks *s, uint64_t pc, bool is_return, struct text *out)
{
    struct symbol found;
    if (!s->names || !symbolizer_find(s->names, pc, is_return, &found) || !found.name.len) return false;
    text_add_slice(out, found.name);
    if (found.file.len && found.line) {
        struct slice file = file_name(found.file);
        text_printf(out, " at %.*s:%u", (int)file.len, file.data, found.line);
    }
    return true;
}
