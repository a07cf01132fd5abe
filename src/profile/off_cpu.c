#include "profile/off_cpu.h"

#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static struct off_cpu_sleeper *find_sleeper(struct off_cpu *o, uint32_t thread)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (o->sleepers[i].thread == thread) return &o->sleepers[i];
    return NULL;
}

void off_cpu_sleep(struct off_cpu *o, const uint64_t *pcs, uint32_t depth, uint32_t kernel,
                   const struct stack_labels *labels, uint64_t time_ns)
{
    struct off_cpu_sleeper *s = find_sleeper(o, labels->thread);
    if (!s) s = find_sleeper(o, 0);
    if (!s && o->count < OFF_CPU_THREADS_MAX) s = &o->sleepers[o->count++];
    if (!s) return;
    s->thread = labels->thread;
    s->depth = depth < sizeof(s->pcs) / sizeof(*s->pcs) ? depth : sizeof(s->pcs) / sizeof(*s->pcs);
    s->kernel = kernel;
    s->since_ns = time_ns;
    s->labels = *labels;
    memcpy(s->pcs, pcs, s->depth * sizeof(*pcs));
}

static void add_sleep(const struct off_cpu_sleeper *s, uint64_t time_ns, struct stack_counts *counts)
{
    uint64_t slept_ns = time_ns > s->since_ns ? time_ns - s->since_ns : 0;
    stack_counts_add(counts, s->pcs, s->depth, s->kernel, &s->labels, 1, slept_ns);
}

void off_cpu_run(struct off_cpu *o, uint32_t thread, uint64_t time_ns, struct stack_counts *counts)
{
    struct off_cpu_sleeper *s = find_sleeper(o, thread);
    if (!s) return;
    add_sleep(s, time_ns, counts);
    s->thread = 0;
}

void off_cpu_end(struct off_cpu *o, uint64_t time_ns, struct stack_counts *counts)
{
    for (uint32_t i = 0; i < o->count; i++)
        if (o->sleepers[i].thread) add_sleep(&o->sleepers[i], time_ns, counts);
    o->count = 0;
}

/* looking at those who sleep already */

static bool read_stack_word(void *context, uint64_t address, uint64_t *out)
{
    const pid_t *pid = context;
    struct iovec to = { out, sizeof(*out) }, from = { (void *)(uintptr_t)address, sizeof(*out) };
    return process_vm_readv(*pid, &to, 1, &from, 1, 0) == (ssize_t)sizeof(*out);
}

/* "232 0x4 … 0x7ffd… 0x7f12…": the number, six arguments, sp, pc; or "running"; or "-1 sp pc". */
static bool parse_syscall(const char *text, struct unwind_registers *r)
{
    unsigned long long words[9];
    int number, used = 0, count = 0;
    if (sscanf(text, "%d%n", &number, &used) != 1) return false;
    for (const char *at = text + used; count < 8; count++) {
        int len = 0;
        if (sscanf(at, " %llx%n", &words[count], &len) != 1) break;
        at += len;
    }
    if (count < 2) return false;
    *r = (struct unwind_registers){ .sp = words[count - 2], .ip = words[count - 1], .has_no_bp = true };
    return true;
}

uint32_t off_cpu_look(pid_t pid, uint32_t thread, const struct unwind_space *space, uint64_t *pcs,
                      uint32_t max)
{
    char path[64], text[256];
    struct unwind_registers r;
    if (!pid) pid = getpid();
    snprintf(path, sizeof(path), "/proc/%d/task/%u/syscall", (int)pid, thread);
    FILE *f = fopen(path, "re");
    bool is_read = f && fgets(text, sizeof(text), f);
    if (f) fclose(f);
    if (!is_read || !parse_syscall(text, &r)) return 0;
    struct unwind_memory memory = { .read_word = read_stack_word, .context = &pid };
    return unwind_stack(space, &r, &memory, pcs, max);
}
