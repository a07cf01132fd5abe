#include "profile/stack_text.h"

#include <stdlib.h>

static const struct profile *sorted; /* qsort() has no context; one thread at a time: the jobs' */

static int more_first(const void *left, const void *right)
{
    int64_t a = sorted->samples[*(const uint32_t *)left].values[0],
            b = sorted->samples[*(const uint32_t *)right].values[0];
    return (a < b) - (a > b);
}

static void write_frame(const struct profile *p, uint32_t location, FILE *out)
{
    char memory[256];
    const struct profile_location *l = &p->locations[location];
    struct slice name = profile_frame_name(p, location, memory, sizeof(memory));
    struct slice file = profile_text(p, p->functions[l->function].file);
    fprintf(out, "#\t%#llx\t%.*s", (unsigned long long)l->address, SLICE_ARGS(name));
    if (file.len) fprintf(out, "\t%.*s:%u", SLICE_ARGS(file), l->line);
    fputc('\n', out);
}

static void write_sample(const struct profile *p, const struct profile_sample *s, FILE *out)
{
    fprintf(out, "%lld @", (long long)s->values[0]);
    for (uint32_t i = 0; i < s->depth; i++)
        fprintf(out, " %#llx", (unsigned long long)p->locations[p->frames[s->stack_at + i]].address);
    fputc('\n', out);
    for (uint32_t i = 0; i < s->label_count; i++)
        fprintf(out, "# labels: {\"%.*s\":\"%.*s\"}\n", SLICE_ARGS(profile_text(p, s->labels[i].key)),
                SLICE_ARGS(profile_text(p, s->labels[i].text)));
    for (uint32_t i = 0; i < s->depth; i++) write_frame(p, p->frames[s->stack_at + i], out);
    fputc('\n', out);
}

void stack_text_write(const struct profile *p, const char *name, FILE *out)
{
    uint32_t *order = calloc(p->sample_count ? p->sample_count : 1, sizeof(*order));
    fprintf(out, "%s profile: total %lld\n", name, (long long)profile_total(p, 0));
    if (!order) return;
    for (uint32_t i = 0; i < p->sample_count; i++) order[i] = i;
    sorted = p;
    qsort(order, p->sample_count, sizeof(*order), more_first);
    for (uint32_t i = 0; i < p->sample_count; i++) write_sample(p, &p->samples[order[i]], out);
    free(order);
}

void stack_text_threads(struct threads *t, FILE *out)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct thread_stack *s = &t->items[i];
        fprintf(out, "thread %u [%s, %s]:\n", s->thread, s->name,
                s->state == 'R'   ? "running"
                : s->state == 'S' ? "sleeping"
                : s->state == 'D' ? "waiting for a disk"
                                  : "stopped");
        for (uint32_t at = 0; at < s->depth; at++) {
            struct symbol found;
            if (!symbolizer_find(t->symbolizer, s->pcs[at], at > 0, &found)) break;
            fprintf(out, "%.*s(...)\n\t%.*s:%u +%#llx\n", found.name.data ? (int)found.name.len : 1,
                    found.name.data ? found.name.data : "?",
                    found.file.data ? (int)found.file.len : (int)found.module.len,
                    found.file.data ? found.file.data : found.module.data, found.line,
                    (unsigned long long)found.offset);
        }
        fputc('\n', out);
    }
}
