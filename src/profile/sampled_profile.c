#include "profile/sampled_profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "profile/profile_names.h"

#define KALLSYMS "/proc/kallsyms"

struct maker {
    const struct sampler_window *window;
    const struct sampled_profile_options *options;
    struct profile *profile;
    struct symbolizer *symbolizers[SPACES_MAX]; /* made when the first address of that space comes */
    struct kernel_symbols *kernel;
    uint32_t kernel_mapping;
    struct {
        uint32_t thread, name;
    } threads[SAMPLER_THREADS_MAX];
    uint32_t thread_count;
};

static uint32_t kernel_location(struct maker *m, uint64_t pc)
{
    struct profile *p = m->profile;
    struct profile_function f = { .name = profile_add_string(p, kernel_symbols_find(m->kernel, pc)) };
    struct profile_location l = { .address = pc, .mapping = m->kernel_mapping };
    if (!f.name) f.name = profile_add_string(p, SLICE("[kernel]"));
    l.function = profile_add_function(p, &f);
    return profile_add_location(p, &l);
}

/* The thread's name, as a string of the profile. */
static uint32_t thread_name(struct maker *m, uint32_t thread)
{
    char path[64], name[32] = "";
    for (uint32_t i = 0; i < m->thread_count; i++)
        if (m->threads[i].thread == thread) return m->threads[i].name;
    snprintf(path, sizeof(path), "/proc/%d/task/%u/comm", (int)(m->options->pid ? m->options->pid : getpid()),
             thread);
    FILE *f = fopen(path, "re");
    if (f && fgets(name, sizeof(name), f)) name[strcspn(name, "\n")] = 0;
    if (f) fclose(f);
    if (!*name) snprintf(name, sizeof(name), "thread %u", thread);
    uint32_t id = profile_add_string(m->profile, slice_of(name));
    if (m->thread_count < SAMPLER_THREADS_MAX) {
        m->threads[m->thread_count].thread = thread;
        m->threads[m->thread_count++].name = id;
    }
    return id;
}

static void add_text_label(struct maker *m, struct profile_label *labels, uint32_t *count, const char *key,
                           struct slice text)
{
    if (!text.len) return;
    labels[(*count)++] = (struct profile_label){ .key = profile_add_string(m->profile, slice_of(key)),
                                                 .text = profile_add_string(m->profile, text) };
}

static uint32_t make_labels(struct maker *m, const struct stack_labels *l, struct profile_label *labels)
{
    const struct sampled_profile_options *o = m->options;
    uint32_t count = 0;
    labels[count++] = (struct profile_label){ .key = profile_add_string(m->profile, SLICE("thread")),
                                              .text = thread_name(m, l->thread) };
    if (l->worker)
        labels[count++] = (struct profile_label){ .key = profile_add_string(m->profile, SLICE("worker")),
                                                  .unit = profile_add_string(m->profile, SLICE("id")),
                                                  .number = l->worker - 1 };
    if (o->name_of && l->listener)
        add_text_label(m, labels, &count, "listener", o->name_of(o->context, l->listener));
    if (o->name_of && l->pool) add_text_label(m, labels, &count, "pool", o->name_of(o->context, l->pool));
    if (o->phase_of && l->worker)
        add_text_label(m, labels, &count, "phase", o->phase_of(o->context, l->phase));
    return count;
}

static bool is_wanted(const struct maker *m, const uint32_t *stack, uint32_t depth)
{
    char memory[256];
    if (!m->options->is_wanted) return true;
    for (uint32_t i = 0; i < depth; i++)
        if (m->options->is_wanted(profile_frame_name(m->profile, stack[i], memory, sizeof(memory))))
            return true;
    return false;
}

/* NULL: out of memory. */
static struct symbolizer *symbolizer_of(struct maker *m, uint32_t space)
{
    struct err err;
    if (space >= m->window->space_count) return NULL;
    if (!m->symbolizers[space] && symbolizer_new(&m->symbolizers[space], m->window->spaces[space], &err) < 0)
        m->symbolizers[space] = NULL;
    return m->symbolizers[space];
}

static void add_stack(struct maker *m, const struct stack_count *s)
{
    struct symbolizer *names = symbolizer_of(m, s->labels.space);
    uint32_t stack[PERF_KERNEL_DEPTH_MAX + UNWIND_DEPTH_MAX];
    struct profile_label labels[PROFILE_LABELS_MAX];
    const uint64_t *pcs = m->window->counts.words + s->at;
    uint32_t depth = 0;
    for (uint32_t i = 0; i < s->depth && (names || i < s->kernel); i++)
        stack[depth++] = i < s->kernel ? kernel_location(m, pcs[i])
                                       : profile_locate(m->profile, names, pcs[i], i > s->kernel);
    int64_t values[2] = { (int64_t)s->count, (int64_t)s->value };
    if (is_wanted(m, stack, depth))
        profile_add(m->profile, stack, depth, labels, make_labels(m, &s->labels, labels), values);
}

static bool has_kernel_stacks(const struct sampler_window *w)
{
    for (uint32_t i = 0; i < w->counts.count; i++)
        if (w->counts.items[i].kernel) return true;
    return false;
}

static void fill_profile(struct maker *m)
{
    const struct sampler_window *w = m->window;
    struct profile *p = m->profile;
    p->time_ns = w->started_wall_ns;
    p->duration_ns = w->ended_ns - w->started_ns;
    p->preset_type = 1;
    if (w->kind == PERF_ON_CPU) {
        p->period_type = (struct profile_type){ "cpu", "nanoseconds" };
        p->period = (int64_t)(NS_PER_S / w->hz);
    }
    struct symbolizer *last = w->space_count ? symbolizer_of(m, w->space_count - 1) : NULL;
    if (last) profile_add_program(m->profile, last);
    if (has_kernel_stacks(w)) {
        struct profile_mapping kernel = { .start = UINT64_C(0xffff800000000000),
                                          .limit = UINT64_MAX,
                                          .file = profile_add_string(p, SLICE("[kernel.kallsyms]")),
                                          .has_functions = true };
        m->kernel = m->options->kernel ? *m->options->kernel : NULL;
        if (!m->kernel) m->kernel = kernel_symbols_read(KALLSYMS);
        m->kernel_mapping = profile_add_mapping(p, &kernel);
    }
    for (uint32_t i = 0; i < w->counts.count; i++) add_stack(m, &w->counts.items[i]);
    p->lost += w->counts.lost;
    if (m->options->kernel && m->kernel)
        *m->options->kernel = m->kernel;
    else
        kernel_symbols_free(m->kernel);
}

static void add_notes(const struct maker *m, struct notes *notes)
{
    sampler_window_notes(m->window, notes);
    for (uint32_t i = 0; i < m->window->space_count; i++)
        if (m->symbolizers[i]) symbolizer_add_notes(m->symbolizers[i], notes);
}

int sampled_profile_make(struct profile **out, const struct sampler_window *w,
                         const struct sampled_profile_options *o, struct err *err)
{
    static const struct profile_type on_cpu[] = { { "samples", "count" }, { "cpu", "nanoseconds" } };
    static const struct profile_type off_cpu[] = { { "contentions", "count" }, { "delay", "nanoseconds" } };
    struct maker *m = calloc(1, sizeof(*m));
    if (!m) return err_set(err, "out of memory for a profile");
    m->window = w;
    m->options = o;
    m->profile = profile_new(w->kind == PERF_ON_CPU ? on_cpu : off_cpu, 2);
    if (!m->profile) {
        free(m);
        return err_set(err, "out of memory for a profile");
    }
    fill_profile(m);
    if (o->notes) add_notes(m, o->notes);
    for (uint32_t i = 0; i < w->space_count; i++) symbolizer_free(m->symbolizers[i]);
    *out = m->profile;
    free(m);
    return 0;
}
