#include "stack/unwind.h"

#include <stdlib.h>
#include <string.h>

/* How far up a frame may reach: what is larger is no frame. */
#define FRAME_BYTES_MAX (64u << 20)
#define RECOVER_BYTES_MAX (32u << 10)
#define FUNCTION_ROWS_MAX 4096u
/* Of ucontext at a signal's frame, where sp points when the restorer runs: uc_mcontext's rbp, rsp, rip. */
#define SIGNAL_RBP 120u
#define SIGNAL_RSP 160u
#define SIGNAL_RIP 168u

struct unwind_space {
    const struct modules *modules;
    struct unwind_table tables[]; /* one for each module */
};

/* making */

/* Without section headers, the header that the dynamic linker finds says where it begins. */
static bool find_frames(const struct elf_image *image, uint64_t *offset, uint64_t *size, uint64_t *address)
{
    const Elf64_Shdr *section = elf_section(image, ".eh_frame");
    if (section) {
        *offset = section->sh_offset;
        *size = section->sh_size;
        *address = section->sh_addr;
        return true;
    }
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const Elf64_Phdr *p = &image->segments[i];
        int32_t relative;
        if (p->p_type != PT_GNU_EH_FRAME || p->p_filesz < 8) continue;
        uint8_t *header = elf_load(image, p->p_offset, 8);
        if (!header || header[0] != 1 ||
            header[1] != 0x1b) { /* pc-relative, four bytes: what linkers write */
            free(header);
            return false;
        }
        memcpy(&relative, header + 4, sizeof(relative));
        free(header);
        *address = p->p_vaddr + 4 + (uint64_t)(int64_t)relative;
        if (!elf_offset_of(image, *address, offset) || *offset >= image->size) return false;
        *size = image->size - *offset; /* it ends with a zero length */
        return true;
    }
    return false;
}

static bool make_table(struct unwind_table *t, const struct elf_image *image, struct unwind_budget *budget)
{
    uint64_t offset, size, address;
    if (!find_frames(image, &offset, &size, &address) || size > UNWIND_FRAME_BYTES_MAX) return true;
    uint8_t *bytes = elf_load(image, offset, size);
    bool is_made = !bytes || unwind_table_make(t, bytes, size, address, budget);
    free(bytes);
    return is_made;
}

/* False: it is the same module in neither. */
static bool take_table(struct unwind_table *t, const struct module *module, struct unwind_space *earlier)
{
    const struct module *m = earlier ? modules_find(earlier->modules, module->start) : NULL;
    if (!m || !module_is_same(m, module)) return false;
    struct unwind_table *from = &earlier->tables[m - earlier->modules->items];
    *t = *from;
    *from = (struct unwind_table){ 0 };
    return true;
}

static bool read_table(struct unwind_table *t, const struct unwind_space_options *o,
                       const struct module *module, struct unwind_budget *budget)
{
    struct elf_image image;
    void *memory = NULL;
    if (take_table(t, module, o->earlier) || !module->has_bias || !budget->steps) return true;
    if (module_open(o->modules, module, &image, &memory, NULL) < 0) return true;
    bool is_made = make_table(t, &image, budget);
    elf_close(&image);
    free(memory);
    return is_made;
}

int unwind_space_make(struct unwind_space **out, const struct unwind_space_options *o, struct err *err)
{
    const struct modules *modules = o->modules;
    struct unwind_budget preset = UNWIND_PRESET_BUDGET, *budget = o->budget ? o->budget : &preset;
    struct unwind_space *s = calloc(1, sizeof(*s) + modules->count * sizeof(s->tables[0]));
    if (!s) return err_set(err, "out of memory for unwind tables");
    s->modules = modules;
    for (uint32_t i = 0; i < modules->count; i++) {
        bool is_stopped = o->stop && atomic_load(o->stop);
        if (!is_stopped && read_table(&s->tables[i], o, &modules->items[i], budget)) continue;
        unwind_space_free(s);
        return is_stopped ? err_set(err, "stopped before all unwind tables were read")
                          : err_set(err, "out of memory for unwind tables");
    }
    *out = s;
    return 0;
}

int unwind_space_new(struct unwind_space **out, const struct modules *modules, struct err *err)
{
    return unwind_space_make(out, &(struct unwind_space_options){ .modules = modules }, err);
}

void unwind_space_free(struct unwind_space *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < s->modules->count; i++) unwind_table_fini(&s->tables[i]);
    free(s);
}

uint32_t unwind_space_rows(const struct unwind_space *s)
{
    uint32_t rows = 0;
    for (uint32_t i = 0; i < s->modules->count; i++) rows += s->tables[i].count;
    return rows;
}

/* walking */

static bool read_stack_word(const struct unwind_memory *m, uint64_t address, uint64_t *out)
{
    return !(address & 7) && m->read_word(m->context, address, out);
}

/* The frame above. False: there is none. The outermost frame of a chain has 0 for the one above (Go's goroutines, the C
 * library's threads): what lies behind it on the stack is left of others. */
static bool step_by_frame_pointer(struct unwind_registers *r, const struct unwind_memory *m)
{
    uint64_t bp, ip;
    if (!r->bp || r->bp < r->sp || r->bp - r->sp > FRAME_BYTES_MAX) return false;
    if (!read_stack_word(m, r->bp, &bp) || !read_stack_word(m, r->bp + 8, &ip)) return false;
    r->sp = r->bp + 16;
    r->bp = bp;
    r->ip = ip;
    return ip != 0;
}

static bool step_over_signal(struct unwind_registers *r, const struct unwind_memory *m)
{
    struct unwind_registers to = { 0 };
    if (!read_stack_word(m, r->sp + SIGNAL_RIP, &to.ip) || !read_stack_word(m, r->sp + SIGNAL_RSP, &to.sp) ||
        !read_stack_word(m, r->sp + SIGNAL_RBP, &to.bp))
        return false;
    *r = to;
    return true;
}

/* Where the function begins that has `pc`; 0 if it is not known. */
static uint64_t function_of(const struct unwind_space *s, uint64_t pc)
{
    const struct module *module = modules_find(s->modules, pc);
    const struct unwind_table *t = module ? &s->tables[module - s->modules->items] : NULL;
    const struct unwind_row *row = t ? unwind_table_find(t, pc - module->bias) : NULL;
    if (!row || row->cfa == UNWIND_NONE) return 0;
    for (uint32_t steps = 0; !row->begins; row--)
        if (row == t->rows || ++steps == FUNCTION_ROWS_MAX) return 0;
    return t->base + row->pc + module->bias;
}

/* Whether what returns to `ip` is a call of the function that has `pc`. Tells a frame from what is left of older ones. */
static bool is_call_of(const struct unwind_space *s, const struct unwind_memory *m, uint64_t ip, uint64_t pc)
{
    uint64_t word;
    int32_t distance;
    if (!m->read_word(m->context, ip - 8, &word) || (word >> 24 & 0xff) != 0xe8)
        return false; /* call rel32 is five bytes */
    memcpy(&distance, (const char *)&word + 4, sizeof(distance));
    return ip + (uint64_t)(int64_t)distance == function_of(s, pc);
}

/* Of a thread that is looked at from outside the frame pointer may not be known. Then the next frame is looked for on
 * its stack: a word that points up the stack, and behind it a return address; a call of this very function, or else, as it
 * may have been called by a pointer, the first. */
static bool recover_bp(const struct unwind_space *s, struct unwind_registers *r,
                       const struct unwind_memory *m)
{
    uint64_t bp, ip, first = 0;
    for (uint64_t at = r->sp; at - r->sp < RECOVER_BYTES_MAX; at += 8) {
        if (!read_stack_word(m, at, &bp) || !read_stack_word(m, at + 8, &ip)) break;
        if (bp <= at || bp - at > FRAME_BYTES_MAX || (bp & 7) || !modules_find(s->modules, ip - 1)) continue;
        if (!first && bp - at <= RECOVER_BYTES_MAX) first = at;
        if (!is_call_of(s, m, ip, r->ip)) continue;
        first = at;
        break;
    }
    r->bp = first;
    r->has_no_bp = false;
    return first != 0;
}

static bool find_cfa(const struct unwind_row *row, const struct unwind_registers *r,
                     const struct unwind_memory *m, uint64_t *cfa)
{
    uint64_t offset = (uint64_t)(int64_t)row->offset;
    switch (row->cfa) {
    case UNWIND_RSP: *cfa = r->sp + offset; return true;
    case UNWIND_RBP: *cfa = r->bp + offset; return true;
    case UNWIND_RBP_DEREF: return read_stack_word(m, r->bp + offset, cfa);
    case UNWIND_PLT: *cfa = r->sp + 8 + ((r->ip & 15) >= offset ? 8 : 0); return true;
    default: return false;
    }
}

static bool step_by_row(const struct unwind_row *row, struct unwind_registers *r,
                        const struct unwind_memory *m)
{
    uint64_t cfa, ip, bp = r->bp;
    uint64_t rbp_offset = (uint64_t)(int64_t)row->rbp_offset;
    if (!find_cfa(row, r, m, &cfa) || cfa <= r->sp || cfa - r->sp > FRAME_BYTES_MAX) return false;
    if (!read_stack_word(m, cfa - 8, &ip)) return false;
    if (row->rbp == UNWIND_RBP_AT_CFA && !read_stack_word(m, cfa + rbp_offset, &bp)) return false;
    if (row->rbp == UNWIND_RBP_AT_RBP && !read_stack_word(m, r->bp + rbp_offset, &bp)) return false;
    *r = (struct unwind_registers){ ip, cfa, bp, r->has_no_bp && row->rbp == UNWIND_RBP_SAME };
    return ip != 0;
}

static bool unwind_step(const struct unwind_space *s, struct unwind_registers *r,
                        const struct unwind_memory *m, bool *is_exact)
{
    uint64_t pc = r->ip - !*is_exact; /* a call may be its function's last instruction */
    const struct module *module = modules_find(s->modules, pc);
    *is_exact = false;
    if (!module && !modules_have_code(s->modules, pc)) return false;
    /* Code that was made at run time has no table: compilers that make it keep frame pointers. */
    const struct unwind_row *row =
        module ? unwind_table_find(&s->tables[module - s->modules->items], pc - module->bias) : NULL;
    bool needs_bp = !row || row->cfa == UNWIND_NONE || row->cfa == UNWIND_RBP || row->cfa == UNWIND_RBP_DEREF;
    if (needs_bp && r->has_no_bp && !recover_bp(s, r, m)) return false;
    if (!row || row->cfa == UNWIND_NONE) return step_by_frame_pointer(r, m);
    if (row->cfa == UNWIND_END) return false;
    if (row->cfa != UNWIND_SIGNAL) return step_by_row(row, r, m);
    *is_exact = true;
    return step_over_signal(r, m);
}

uint32_t unwind_stack(const struct unwind_space *s, const struct unwind_registers *regs,
                      const struct unwind_memory *memory, uint64_t *pcs, uint32_t max)
{
    struct unwind_registers r = *regs;
    uint32_t count = 0;
    bool is_exact = true;
    pcs[count++] = r.ip;
    if (memory->unknown && !modules_have_code(s->modules, r.ip)) *memory->unknown = r.ip;
    while (count < max && unwind_step(s, &r, memory, &is_exact)) {
        if (modules_have_code(s->modules, r.ip - !is_exact)) {
            pcs[count++] = r.ip;
            continue;
        }
        if (memory->unknown) *memory->unknown = r.ip;
        break;
    }
    return count;
}

uint32_t unwind_by_frame_pointers(const struct unwind_registers *regs, const struct unwind_memory *memory,
                                  uint64_t *pcs, uint32_t max)
{
    struct unwind_registers r = *regs;
    uint32_t count = 0;
    pcs[count++] = r.ip;
    while (count < max && step_by_frame_pointer(&r, memory)) pcs[count++] = r.ip;
    return count;
}
