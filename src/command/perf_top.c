#include "command/perf_top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "command/table.h"

#define CALLERS 3u
#define TIME_TYPE 1

struct place {
    char *name;
    int64_t value;
};

static bool is_kernel(const struct profile *p, uint32_t location)
{
    const struct profile_mapping *m = &p->mappings[p->locations[location].mapping];
    return m->file && slice_equal(profile_text(p, m->file), SLICE("[kernel.kallsyms]"));
}

static void add_name(struct text *t, const struct profile *p, uint32_t location)
{
    char memory[256];
    struct slice name = profile_frame_name(p, location, memory, sizeof(memory));
    if (t->len) TEXT_LITERAL(t, " < ");
    text_add_slice(t, name);
}

static char *name_of(const struct profile *p, const struct profile_sample *s, enum perf_top_place place)
{
    char name[PERF_TOP_NAME_MAX];
    struct text t = text_over(name, sizeof(name));
    const uint32_t *stack = p->frames + s->stack_at;
    uint32_t at = 0, last = 1;
    if (place == PERF_TOP_CALL) {
        while (at + 1 < s->depth && is_kernel(p, stack[at])) at++;
        last = at + CALLERS;
    }
    for (; at < s->depth && at < last; at++) add_name(&t, p, stack[at]);
    text_cstr(&t);
    table_clean(name);
    return strdup(name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->name, ((const struct place *)b)->name);
}

static int by_value(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? 1 : -1;
    return strcmp(x->name, y->name);
}

/* Of each name one, with the sum. Returns how many there are. */
static uint32_t add_up(struct place *places, uint32_t count)
{
    uint32_t kept = 0;
    qsort(places, count, sizeof(*places), by_name);
    for (uint32_t i = 0; i < count; i++) {
        if (kept && strcmp(places[kept - 1].name, places[i].name) == 0) {
            places[kept - 1].value += places[i].value;
            free(places[i].name);
        } else {
            places[kept++] = places[i];
        }
    }
    qsort(places, kept, sizeof(*places), by_value);
    return kept;
}

void perf_top_make(struct perf_top *out, const struct profile *p, enum perf_top_place place)
{
    struct place *places = calloc(p->sample_count + 1, sizeof(*places));
    uint32_t count = 0;
    int64_t total = 0;
    *out = (struct perf_top){ 0 };
    for (uint32_t i = 0; places && i < p->sample_count; i++) {
        const struct profile_sample *s = &p->samples[i];
        total += s->values[TIME_TYPE];
        if (!s->depth || !(places[count].name = name_of(p, s, place))) continue;
        places[count++].value = s->values[TIME_TYPE];
    }
    if (count) count = add_up(places, count);
    for (uint32_t i = 0; i < count; i++) {
        if (out->count < PERF_TOP_MAX && places[i].value > 0) {
            out->items[out->count].value = places[i].value;
            out->items[out->count].share = (double)places[i].value / (double)total;
            snprintf(out->items[out->count++].name, PERF_TOP_NAME_MAX, "%s", places[i].name);
        }
        free(places[i].name);
    }
    free(places);
}
