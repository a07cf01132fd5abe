/* For tests/e2e/test_unwind.py: unwinds what `perf record --call-graph dwarf` recorded of a process that still runs, sample
 * by sample, as the sampler would: unwind_recording FILE PID [frame-pointers]. A line each: thread, time in ns, addresses. */
#include <asm/perf_regs.h>
#include <inttypes.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "stack/unwind.h"

/* The head of perf.data (tools/perf/Documentation/perf.data-file-format.txt of Linux). */
struct file_head {
    char magic[8];
    uint64_t size, attr_size;
    uint64_t attrs_at, attrs_len, data_at, data_len;
};

struct copied_stack {
    uint64_t sp, len;
    const uint8_t *bytes;
};

static _Noreturn void fail(const char *text)
{
    fprintf(stderr, "unwind_recording: %s\n", text);
    exit(1);
}

static bool read_copied(void *context, uint64_t address, uint64_t *out)
{
    const struct copied_stack *s = context;
    if (address < s->sp || address - s->sp > s->len || s->len - (address - s->sp) < sizeof(*out))
        return false;
    memcpy(out, s->bytes + (address - s->sp), sizeof(*out));
    return true;
}

static uint64_t take(const uint8_t **at, const uint8_t *end)
{
    uint64_t value;
    if (end - *at < 8) fail("a sample is cut");
    memcpy(&value, *at, 8);
    *at += 8;
    return value;
}

static void skip(const uint8_t **at, const uint8_t *end, uint64_t words)
{
    while (words--) take(at, end);
}

struct sample {
    uint32_t thread;
    uint64_t time_ns;
    struct unwind_registers regs;
    struct copied_stack stack;
};

static bool take_registers(const uint8_t **at, const uint8_t *end, uint64_t mask,
                           struct unwind_registers *regs)
{
    if (take(at, end) == PERF_SAMPLE_REGS_ABI_NONE) return false;
    for (unsigned i = 0; i < 64; i++) {
        if (!(mask >> i & 1)) continue;
        uint64_t value = take(at, end);
        if (i == PERF_REG_X86_IP) regs->ip = value;
        if (i == PERF_REG_X86_SP) regs->sp = value;
        if (i == PERF_REG_X86_BP) regs->bp = value;
    }
    return true;
}

/* In the order of perf_event_open(2). */
static bool take_sample(const struct perf_event_attr *a, const uint8_t *at, const uint8_t *end,
                        struct sample *s)
{
    uint64_t type = a->sample_type;
    if (type & (PERF_SAMPLE_READ | PERF_SAMPLE_RAW | PERF_SAMPLE_BRANCH_STACK))
        fail("unknown kind of sample");
    if (type & PERF_SAMPLE_IDENTIFIER) take(&at, end);
    if (type & PERF_SAMPLE_IP) take(&at, end);
    if (type & PERF_SAMPLE_TID) s->thread = (uint32_t)(take(&at, end) >> 32);
    if (type & PERF_SAMPLE_TIME) s->time_ns = take(&at, end);
    if (type & PERF_SAMPLE_ADDR) take(&at, end);
    if (type & PERF_SAMPLE_ID) take(&at, end);
    if (type & PERF_SAMPLE_STREAM_ID) take(&at, end);
    if (type & PERF_SAMPLE_CPU) take(&at, end);
    if (type & PERF_SAMPLE_PERIOD) take(&at, end);
    if (type & PERF_SAMPLE_CALLCHAIN) skip(&at, end, take(&at, end));
    if (!(type & PERF_SAMPLE_REGS_USER) || !take_registers(&at, end, a->sample_regs_user, &s->regs))
        return false;
    uint64_t len = type & PERF_SAMPLE_STACK_USER ? take(&at, end) : 0;
    if (!len || len > (uint64_t)(end - at)) return false;
    s->stack = (struct copied_stack){ s->regs.sp, len, at };
    at += len;
    uint64_t used = take(&at, end);
    if (used < len) s->stack.len = used;
    return true;
}

/* As perf script shows it: as the file's own. */
static uint64_t within_file(const struct modules *modules, uint64_t pc)
{
    const struct module *m = modules_find(modules, pc);
    return m && m->has_bias ? pc - m->bias : pc;
}

static void unwind(const struct modules *modules, const struct unwind_space *space, struct sample *s,
                   bool by_frame_pointers)
{
    uint64_t pcs[UNWIND_DEPTH_MAX];
    struct unwind_memory memory = { .read_word = read_copied, .context = &s->stack };
    uint32_t depth = by_frame_pointers ? unwind_by_frame_pointers(&s->regs, &memory, pcs, UNWIND_DEPTH_MAX)
                                       : unwind_stack(space, &s->regs, &memory, pcs, UNWIND_DEPTH_MAX);
    printf("%" PRIu32 " %" PRIu64, s->thread, s->time_ns);
    for (uint32_t i = 0; i < depth; i++) printf(" %" PRIx64, within_file(modules, pcs[i]));
    putchar('\n');
}

static uint8_t *read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0) fail("the recording cannot be read");
    *len = (size_t)ftell(f);
    rewind(f);
    uint8_t *bytes = malloc(*len + 1);
    if (!bytes || fread(bytes, 1, *len, f) != *len) fail("the recording cannot be read");
    fclose(f);
    return bytes;
}

int main(int argc, char **argv)
{
    struct file_head head;
    struct perf_event_attr attr = { 0 };
    struct modules *modules = NULL;
    struct unwind_space *space = NULL;
    struct err err;
    size_t len = 0;
    if (argc < 3) fail("usage: unwind_recording FILE PID [frame-pointers]");
    uint8_t *bytes = read_file(argv[1], &len);
    if (len < sizeof(head)) fail("the recording is cut");
    memcpy(&head, bytes, sizeof(head));
    if (memcmp(head.magic, "PERFILE2", 8) != 0) fail("this is no perf.data");
    if (head.attrs_at + sizeof(attr) > len || head.data_at + head.data_len > len)
        fail("the recording is cut");
    memcpy(&attr, bytes + head.attrs_at, sizeof(attr));
    if (modules_read(&modules, (pid_t)strtol(argv[2], NULL, 10), &err) < 0 ||
        unwind_space_new(&space, modules, &err) < 0)
        fail(err.text);
    for (uint64_t at = head.data_at; at + sizeof(struct perf_event_header) <= head.data_at + head.data_len;) {
        struct perf_event_header h;
        struct sample s = { 0 };
        memcpy(&h, bytes + at, sizeof(h));
        if (h.size < sizeof(h) || at + h.size > len) fail("a record is cut");
        if (h.type == PERF_RECORD_SAMPLE &&
            take_sample(&attr, bytes + at + sizeof(h), bytes + at + h.size, &s))
            unwind(modules, space, &s, argc > 3);
        at += h.size;
    }
    unwind_space_free(space);
    modules_free(modules);
    free(bytes);
    return 0;
}
