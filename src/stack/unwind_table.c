#include "stack/unwind_table.h"

#include <stdlib.h>
#include <string.h>

#define STATES_MAX 16u
#define CIES_MAX 65536u

/* DWARF's numbers of registers (System V ABI, AMD64 supplement, figure 3.36). */
enum { REGISTER_RBP = 6, REGISTER_RSP = 7, REGISTER_RA = 16 };

/* DW_EH_PE_* (Linux Standard Base, 10.5.1). */
enum {
    ENCODING_ABSOLUTE = 0,
    ENCODING_ULEB = 1,
    ENCODING_U2 = 2,
    ENCODING_U4 = 3,
    ENCODING_U8 = 4,
    ENCODING_SLEB = 9,
    ENCODING_S2 = 10,
    ENCODING_S4 = 11,
    ENCODING_S8 = 12,
    ENCODING_PC_RELATIVE = 0x10,
    ENCODING_INDIRECT = 0x80,
    ENCODING_OMIT = 0xff
};

/* DW_CFA_* (DWARF 5, 7.24, and GNU's). */
enum {
    CFA_NOP = 0,
    CFA_SET_LOC = 1,
    CFA_ADVANCE1 = 2,
    CFA_ADVANCE2 = 3,
    CFA_ADVANCE4 = 4,
    CFA_OFFSET_EXTENDED = 5,
    CFA_RESTORE_EXTENDED = 6,
    CFA_UNDEFINED = 7,
    CFA_SAME_VALUE = 8,
    CFA_REGISTER = 9,
    CFA_REMEMBER = 10,
    CFA_RESTORE_STATE = 11,
    CFA_DEF_CFA = 12,
    CFA_DEF_CFA_REGISTER = 13,
    CFA_DEF_CFA_OFFSET = 14,
    CFA_DEF_CFA_EXPRESSION = 15,
    CFA_EXPRESSION = 16,
    CFA_OFFSET_EXTENDED_SF = 17,
    CFA_DEF_CFA_SF = 18,
    CFA_DEF_CFA_OFFSET_SF = 19,
    CFA_VAL_OFFSET = 20,
    CFA_VAL_OFFSET_SF = 21,
    CFA_VAL_EXPRESSION = 22,
    CFA_ARGS_SIZE = 0x2e,
    CFA_NEGATIVE_OFFSET_EXTENDED = 0x2f
};

/* DW_OP_* */
enum { OP_DEREF = 0x06, OP_LIT0 = 0x30, OP_BREG6 = 0x76, OP_BREG7 = 0x77 };

/* Bytes that are read within their bounds; reading past them gives 0 and is remembered. */
struct cursor {
    const uint8_t *at, *end;
    bool is_bad;
};

static uint64_t take_bytes(struct cursor *c, size_t size)
{
    uint64_t value = 0;
    if ((size_t)(c->end - c->at) < size) {
        c->is_bad = true;
        c->at = c->end;
        return 0;
    }
    memcpy(&value, c->at, size);
    c->at += size;
    return value;
}

static uint64_t take_uleb(struct cursor *c)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint64_t byte = take_bytes(c, 1);
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    c->is_bad = true;
    return 0;
}

static int64_t take_sleb(struct cursor *c)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64;) {
        uint64_t byte = take_bytes(c, 1);
        value |= (byte & 0x7f) << shift;
        shift += 7;
        if (byte & 0x80) continue;
        if ((byte & 0x40) && shift < 64) value |= UINT64_MAX << shift;
        return (int64_t)value;
    }
    c->is_bad = true;
    return 0;
}

static struct cursor take_block(struct cursor *c, uint64_t len)
{
    if (len > (uint64_t)(c->end - c->at)) {
        c->is_bad = true;
        len = 0;
    }
    struct cursor block = { c->at, c->at + len, false };
    c->at += len;
    return block;
}

/* .eh_frame, and where it is in the file's addresses. */
struct section {
    const uint8_t *bytes;
    size_t size;
    uint64_t address;
};

static uint64_t take_encoded(struct cursor *c, uint8_t encoding, const struct section *s)
{
    uint64_t here = s->address + (uint64_t)(c->at - s->bytes), value;
    switch (encoding & 0x0f) {
    case ENCODING_ABSOLUTE:
    case ENCODING_U8:
    case ENCODING_S8: value = take_bytes(c, 8); break;
    case ENCODING_ULEB: value = take_uleb(c); break;
    case ENCODING_SLEB: value = (uint64_t)take_sleb(c); break;
    case ENCODING_U2: value = take_bytes(c, 2); break;
    case ENCODING_S2: value = (uint64_t)(int64_t)(int16_t)take_bytes(c, 2); break;
    case ENCODING_U4: value = take_bytes(c, 4); break;
    case ENCODING_S4: value = (uint64_t)(int64_t)(int32_t)take_bytes(c, 4); break;
    default: c->is_bad = true; return 0;
    }
    if ((encoding & 0x70) == ENCODING_PC_RELATIVE)
        value += here;
    else if (encoding & (0x70 | ENCODING_INDIRECT))
        c->is_bad = true; /* relative to what is not in .eh_frame */
    return value;
}

/* rules */

struct rules {
    uint8_t cfa;
    int64_t offset;
    uint8_t rbp;
    int64_t rbp_offset;
    bool is_ra_undefined, is_ra_strange;
};

/* CIE */

struct cie {
    uint64_t at; /* in the section */
    uint64_t code_factor;
    int64_t data_factor;
    uint8_t pointer_encoding;
    bool has_augmentation, is_signal, is_bad;
    struct cursor program;
    struct rules initial; /* what its program leaves: run once, however many functions refer to it */
};

static void read_augmentation(struct cie *cie, struct cursor *c, const char *letters, const struct section *s)
{
    struct cursor data = take_block(c, take_uleb(c));
    cie->has_augmentation = true;
    for (letters++; *letters; letters++) {
        switch (*letters) {
        case 'R': cie->pointer_encoding = (uint8_t)take_bytes(&data, 1); break;
        case 'L': take_bytes(&data, 1); break;
        case 'P': take_encoded(&data, (uint8_t)take_bytes(&data, 1) & 0x7f, s); break;
        case 'S': cie->is_signal = true; break;
        case 'B': break;
        default: return; /* what follows is not known, and is passed over by its length */
        }
    }
}

/* `c` is behind the id. */
static struct cie read_cie(struct cursor c, const struct section *s)
{
    struct cie cie = { .pointer_encoding = ENCODING_ABSOLUTE };
    uint64_t version = take_bytes(&c, 1);
    const char *letters = (const char *)c.at;
    const uint8_t *end = memchr(c.at, 0, (size_t)(c.end - c.at));
    if (!end || (version != 1 && version != 3)) {
        cie.is_bad = true;
        return cie;
    }
    c.at = end + 1;
    cie.code_factor = take_uleb(&c);
    cie.data_factor = take_sleb(&c);
    uint64_t ra = version == 1 ? take_bytes(&c, 1) : take_uleb(&c);
    if (*letters == 'z') read_augmentation(&cie, &c, letters, s);
    cie.is_bad = c.is_bad || ra != REGISTER_RA || (*letters && *letters != 'z');
    cie.program = (struct cursor){ c.at, c.end, false };
    return cie;
}

/* The table that grows, and what it may still cost. */
struct maker {
    struct unwind_table *table;
    struct unwind_budget *budget;
    struct cie *cies; /* by place: they come before what refers to them */
    uint32_t cap, cie_count, cie_cap;
    bool is_failed;
};

/* Every entry and every instruction is one step. False: there are none left, and the table ends here. */
static bool spend(struct maker *m)
{
    if (m->budget->steps) {
        m->budget->steps--;
        return true;
    }
    m->table->is_cut = true;
    return false;
}

static void add_row(struct maker *m, uint64_t address, const struct rules *r)
{
    struct unwind_table *t = m->table;
    if (address < t->base || address - t->base > UINT32_MAX || t->count == UNWIND_ROWS_MAX ||
        !m->budget->rows) {
        t->is_cut = true;
        return;
    }
    if (t->count == m->cap) {
        uint32_t cap = m->cap ? 2 * m->cap : 1024;
        struct unwind_row *rows = realloc(t->rows, cap * sizeof(*rows));
        if (!rows) {
            m->is_failed = true;
            return;
        }
        t->rows = rows;
        m->cap = cap;
    }
    struct unwind_row row = { .pc = (uint32_t)(address - t->base), .cfa = r->cfa, .rbp = r->rbp & 127u };
    bool fits = r->offset == (int32_t)r->offset && r->rbp_offset == (int16_t)r->rbp_offset;
    if (r->is_ra_undefined)
        row.cfa = UNWIND_END;
    else if (r->is_ra_strange || !fits)
        row.cfa = UNWIND_NONE;
    row.offset = (int32_t)r->offset;
    row.rbp_offset = (int16_t)r->rbp_offset;
    t->rows[t->count++] = row;
    m->budget->rows--;
}

/* A program under way. */
struct frame {
    const struct cie *cie;
    const struct section *section;
    struct rules rules, initial, saved[STATES_MAX];
    uint32_t saved_count;
    uint64_t address, end;
    struct maker *maker;
    bool has_rows; /* not while the CIE's own program runs */
};

static void advance(struct frame *f, uint64_t delta)
{
    if (f->has_rows && delta) add_row(f->maker, f->address, &f->rules);
    f->address += delta * f->cie->code_factor;
}

static void set_cfa(struct rules *r, uint64_t reg, int64_t offset)
{
    r->cfa = reg == REGISTER_RSP ? UNWIND_RSP : reg == REGISTER_RBP ? UNWIND_RBP : UNWIND_NONE;
    r->offset = offset;
}

/* The three expressions that compilers and the C library write. */
static void set_cfa_expression(struct frame *f, struct cursor e)
{
    static const uint8_t plt_start[] = { 0x77, 0x08, 0x80, 0x00, 0x3f, 0x1a },
                         plt_end[] = { 0x2a, 0x33, 0x24, 0x22 };
    struct rules *r = &f->rules;
    size_t len = (size_t)(e.end - e.at);
    r->cfa = UNWIND_NONE;
    if (len == 11 && memcmp(e.at, plt_start, 6) == 0 && memcmp(e.at + 7, plt_end, 4) == 0) {
        r->cfa = UNWIND_PLT;
        r->offset = e.at[6] - OP_LIT0;
        return;
    }
    uint64_t op = take_bytes(&e, 1);
    int64_t offset = take_sleb(&e);
    if (take_bytes(&e, 1) != OP_DEREF || e.at != e.end || e.is_bad) return;
    if (op == OP_BREG6) {
        r->cfa = UNWIND_RBP_DEREF;
        r->offset = offset;
    } else if (op == OP_BREG7 && f->cie->is_signal) {
        r->cfa = UNWIND_SIGNAL;
        r->offset = offset;
    }
}

static void set_saved(struct rules *r, uint64_t reg, int64_t offset)
{
    if (reg == REGISTER_RBP) {
        r->rbp = UNWIND_RBP_AT_CFA;
        r->rbp_offset = offset;
    } else if (reg == REGISTER_RA) {
        r->is_ra_undefined = false;
        r->is_ra_strange = offset != -8;
    }
}

static void set_expression(struct frame *f, uint64_t reg, struct cursor e)
{
    struct rules *r = &f->rules;
    uint64_t op = take_bytes(&e, 1);
    int64_t offset = take_sleb(&e);
    bool is_simple = !e.is_bad && e.at == e.end;
    if (reg == REGISTER_RBP && is_simple && op == OP_BREG6) {
        r->rbp = UNWIND_RBP_AT_RBP;
        r->rbp_offset = offset;
    } else if (reg == REGISTER_RBP && r->cfa != UNWIND_SIGNAL) {
        r->rbp = UNWIND_RBP_SAME;
    } else if (reg == REGISTER_RA && r->cfa != UNWIND_SIGNAL) {
        r->is_ra_strange = true;
    }
}

static void restore(struct frame *f, uint64_t reg)
{
    if (reg == REGISTER_RBP) {
        f->rules.rbp = f->initial.rbp;
        f->rules.rbp_offset = f->initial.rbp_offset;
    } else if (reg == REGISTER_RA) {
        f->rules.is_ra_undefined = f->initial.is_ra_undefined;
        f->rules.is_ra_strange = f->initial.is_ra_strange;
    }
}

static void forget(struct rules *r, uint64_t reg, bool is_undefined)
{
    if (reg == REGISTER_RBP) r->rbp = UNWIND_RBP_SAME;
    if (reg == REGISTER_RA) r->is_ra_undefined = is_undefined;
}

/* One instruction whose operands are not in its first byte. False: it is not known, and what follows cannot be read. */
static bool run_extended(struct frame *f, struct cursor *c, uint64_t op)
{
    struct rules *r = &f->rules;
    uint64_t reg;
    switch (op) {
    case CFA_NOP: return true;
    case CFA_SET_LOC: {
        uint64_t to = take_encoded(c, f->cie->pointer_encoding, f->section);
        if (to < f->address) return false;
        if (f->has_rows) add_row(f->maker, f->address, r);
        f->address = to;
        return true;
    }
    case CFA_ADVANCE1: advance(f, take_bytes(c, 1)); return true;
    case CFA_ADVANCE2: advance(f, take_bytes(c, 2)); return true;
    case CFA_ADVANCE4: advance(f, take_bytes(c, 4)); return true;
    case CFA_OFFSET_EXTENDED:
        reg = take_uleb(c);
        set_saved(r, reg, (int64_t)take_uleb(c) * f->cie->data_factor);
        return true;
    case CFA_OFFSET_EXTENDED_SF:
        reg = take_uleb(c);
        set_saved(r, reg, take_sleb(c) * f->cie->data_factor);
        return true;
    case CFA_NEGATIVE_OFFSET_EXTENDED:
        reg = take_uleb(c);
        set_saved(r, reg, -(int64_t)take_uleb(c) * f->cie->data_factor);
        return true;
    case CFA_RESTORE_EXTENDED: restore(f, take_uleb(c)); return true;
    case CFA_UNDEFINED: forget(r, take_uleb(c), true); return true;
    case CFA_SAME_VALUE: forget(r, take_uleb(c), false); return true;
    case CFA_REGISTER:
        reg = take_uleb(c);
        take_uleb(c);
        if (reg == REGISTER_RA) r->is_ra_strange = true;
        return true;
    case CFA_REMEMBER:
        if (f->saved_count == STATES_MAX) return false;
        f->saved[f->saved_count++] = *r;
        return true;
    case CFA_RESTORE_STATE:
        if (!f->saved_count) return false;
        *r = f->saved[--f->saved_count];
        return true;
    case CFA_DEF_CFA:
        reg = take_uleb(c);
        set_cfa(r, reg, (int64_t)take_uleb(c));
        return true;
    case CFA_DEF_CFA_SF:
        reg = take_uleb(c);
        set_cfa(r, reg, take_sleb(c) * f->cie->data_factor);
        return true;
    case CFA_DEF_CFA_REGISTER: set_cfa(r, take_uleb(c), r->offset); return true;
    case CFA_DEF_CFA_OFFSET: r->offset = (int64_t)take_uleb(c); return true;
    case CFA_DEF_CFA_OFFSET_SF: r->offset = take_sleb(c) * f->cie->data_factor; return true;
    case CFA_DEF_CFA_EXPRESSION: set_cfa_expression(f, take_block(c, take_uleb(c))); return true;
    case CFA_EXPRESSION:
        reg = take_uleb(c);
        set_expression(f, reg, take_block(c, take_uleb(c)));
        return true;
    case CFA_VAL_EXPRESSION:
        reg = take_uleb(c);
        take_block(c, take_uleb(c));
        if (reg == REGISTER_RA) r->is_ra_strange = true;
        return true;
    case CFA_VAL_OFFSET:
    case CFA_VAL_OFFSET_SF:
        take_uleb(c);
        take_uleb(c);
        return true;
    case CFA_ARGS_SIZE: take_uleb(c); return true;
    default: return false;
    }
}

static void run_program(struct frame *f, struct cursor c)
{
    while (c.at < c.end && !c.is_bad && !f->maker->is_failed) {
        if (!spend(f->maker)) break;
        uint64_t op = take_bytes(&c, 1), low = op & 0x3f;
        bool is_known = true;
        switch (op >> 6) {
        case 1: advance(f, low); break;
        case 2: set_saved(&f->rules, low, (int64_t)take_uleb(&c) * f->cie->data_factor); break;
        case 3: restore(f, low); break;
        default: is_known = run_extended(f, &c, op);
        }
        if (is_known && f->address <= f->end) continue;
        f->rules.cfa = UNWIND_NONE;
        return;
    }
    if (c.is_bad || c.at < c.end) f->rules.cfa = UNWIND_NONE;
}

static void add_cie(struct maker *m, const struct cie *cie)
{
    if (m->cie_count == m->cie_cap) {
        uint32_t cap = m->cie_cap ? 2 * m->cie_cap : 16;
        struct cie *cies = cap <= CIES_MAX ? realloc(m->cies, cap * sizeof(*cies)) : NULL;
        if (!cies) {
            m->table->is_cut = true; /* what refers to it is not understood */
            return;
        }
        m->cies = cies;
        m->cie_cap = cap;
    }
    m->cies[m->cie_count++] = *cie;
}

/* `c` is behind the id of the entry that is at `at` of the section. */
static void take_cie(struct maker *m, struct cursor c, uint64_t at, const struct section *s)
{
    struct cie cie = read_cie(c, s);
    cie.at = at;
    if (!cie.is_bad) {
        struct frame f = { .cie = &cie, .section = s, .end = UINT64_MAX, .maker = m };
        run_program(&f, cie.program);
        cie.initial = f.rules;
    }
    add_cie(m, &cie);
}

static const struct cie *find_cie(const struct maker *m, uint64_t at)
{
    uint32_t low = 0, high = m->cie_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (m->cies[middle].at < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low < m->cie_count && m->cies[low].at == at && !m->cies[low].is_bad ? &m->cies[low] : NULL;
}

/* FDE; `c` is behind the pointer to its CIE. */
static void read_fde(struct maker *m, struct cursor c, const struct cie *cie, const struct section *s)
{
    struct frame f = { .cie = cie, .section = s, .maker = m, .has_rows = true };
    uint64_t start = take_encoded(&c, cie->pointer_encoding, s);
    uint64_t len = take_encoded(&c, cie->pointer_encoding & 0x0f, s);
    if (cie->has_augmentation) take_block(&c, take_uleb(&c));
    if (c.is_bad || !len || len > UINT32_MAX || start + len < start) {
        m->table->is_cut = true;
        return;
    }
    f.address = start;
    f.end = start + len;
    f.rules = f.initial = cie->initial;
    uint32_t first = m->table->count;
    run_program(&f, c);
    static const struct rules none = { .cfa = UNWIND_NONE };
    if (f.address < f.end) add_row(m, f.address, &f.rules);
    if (m->table->count > first) m->table->rows[first].begins = true;
    add_row(m, f.end, &none);
}

/* A row that ends a function goes before the one that begins another at the same address. */
static int compare_rows(const void *left, const void *right)
{
    const struct unwind_row *a = left, *b = right;
    if (a->pc != b->pc) return a->pc < b->pc ? -1 : 1;
    return (a->cfa != UNWIND_NONE) - (b->cfa != UNWIND_NONE);
}

static bool is_same_rule(const struct unwind_row *a, const struct unwind_row *b)
{
    return a->cfa == b->cfa && a->offset == b->offset && a->rbp == b->rbp && a->rbp_offset == b->rbp_offset;
}

static void tidy(struct unwind_table *t)
{
    uint32_t kept = 0;
    if (!t->count) return;
    qsort(t->rows, t->count, sizeof(*t->rows), compare_rows);
    for (uint32_t i = 0; i < t->count; i++) {
        if (i + 1 < t->count && t->rows[i + 1].pc == t->rows[i].pc)
            continue; /* the last one of them counts */
        if (kept && !t->rows[i].begins && is_same_rule(&t->rows[kept - 1], &t->rows[i])) continue;
        t->rows[kept++] = t->rows[i];
    }
    t->count = kept;
}

/* The next CIE or FDE; false at the end. `body` is behind its length. */
static bool next_entry(struct cursor *c, struct cursor *body)
{
    uint64_t len = take_bytes(c, 4);
    if (len == UINT32_MAX) len = take_bytes(c, 8);
    if (!len || c->is_bad || len > (uint64_t)(c->end - c->at)) return false;
    *body = take_block(c, len);
    return true;
}

static void read_entries(struct maker *m, const struct section *s)
{
    struct cursor c = { s->bytes, s->bytes + s->size, false }, body;
    while (!m->is_failed && spend(m)) {
        const uint8_t *at = c.at;
        if (!next_entry(&c, &body)) return;
        const uint8_t *id_at = body.at;
        uint64_t id = take_bytes(&body, 4);
        if (body.is_bad) continue;
        if (!id) {
            take_cie(m, body, (uint64_t)(at - s->bytes), s);
            continue;
        }
        /* The id is how far before itself the CIE begins. */
        uint64_t place = (uint64_t)(id_at - s->bytes);
        const struct cie *cie = id <= place ? find_cie(m, place - id) : NULL;
        if (cie)
            read_fde(m, body, cie, s);
        else
            m->table->is_cut = true;
    }
}

bool unwind_table_make(struct unwind_table *t, const uint8_t *bytes, size_t size, uint64_t address,
                       struct unwind_budget *budget)
{
    struct section s = { bytes, size, address };
    struct maker m = { .table = t, .budget = budget };
    *t = (struct unwind_table){ 0 };
    read_entries(&m, &s);
    free(m.cies);
    if (m.is_failed) {
        unwind_table_fini(t);
        return false;
    }
    tidy(t);
    return true;
}

void unwind_table_fini(struct unwind_table *t)
{
    free(t->rows);
    *t = (struct unwind_table){ 0 };
}

const struct unwind_row *unwind_table_find(const struct unwind_table *t, uint64_t pc)
{
    if (!t->count || pc < t->base || pc - t->base > UINT32_MAX) return NULL;
    uint32_t wanted = (uint32_t)(pc - t->base), low = 0, count = t->count;
    if (wanted < t->rows[0].pc) return NULL;
    while (count > 1) {
        uint32_t half = count / 2;
        if (t->rows[low + half].pc <= wanted) low += half;
        count -= half;
    }
    return &t->rows[low];
}
