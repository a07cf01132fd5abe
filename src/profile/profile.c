#define XXH_INLINE_ALL
#include <xxhash.h>

#include "profile/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IDS_MAX (1u << 20) /* mappings, functions, locations */

/* Makes room for one more; false: there is none. */
static bool grow_array(void *array, uint32_t *cap, uint64_t wanted, uint64_t max, size_t size)
{
    void **data = array;
    if (wanted <= *cap) return true;
    if (wanted > max) return false;
    uint64_t next = *cap ? *cap : 64;
    while (next < wanted) next *= 2;
    if (next > max) next = max;
    void *larger = realloc(*data, next * size);
    if (!larger) return false;
    *data = larger;
    *cap = (uint32_t)next;
    return true;
}

/* the hash of ids */

typedef uint64_t hash_fn(const struct profile *p, uint32_t id);

static bool index_grow(struct profile_index *x, const struct profile *p, hash_fn *hash_of)
{
    uint32_t size = x->slots ? (x->mask + 1) * 2 : 256;
    uint32_t *slots = calloc(size, sizeof(*slots));
    if (!slots) return false;
    for (uint32_t i = 0; x->slots && i <= x->mask; i++) {
        if (!x->slots[i]) continue;
        uint32_t at = (uint32_t)hash_of(p, x->slots[i] - 1) & (size - 1);
        while (slots[at]) at = (at + 1) & (size - 1);
        slots[at] = x->slots[i];
    }
    free(x->slots);
    x->slots = slots;
    x->mask = size - 1;
    return true;
}

/* Room for one more: the load stays under three quarters. */
static bool index_reserve(struct profile_index *x, const struct profile *p, hash_fn *hash_of)
{
    return (x->slots && x->used < (x->mask + 1) / 4 * 3) || index_grow(x, p, hash_of);
}

static void index_set(struct profile_index *x, uint32_t slot, uint32_t id)
{
    x->slots[slot] = id + 1;
    x->used++;
}

/* What all but strings and samples are found by: their bytes, which have no padding of their own. */
static uint64_t hash_mapping(const struct profile *p, uint32_t id)
{
    const struct profile_mapping *m = &p->mappings[id];
    uint64_t key[4] = { m->start, m->limit, m->file_offset, (uint64_t)m->file << 32 | m->build_id };
    return XXH3_64bits(key, sizeof(key));
}

static uint64_t hash_function(const struct profile *p, uint32_t id)
{
    return XXH3_64bits(&p->functions[id], sizeof(p->functions[id]));
}

static uint64_t hash_location(const struct profile *p, uint32_t id)
{
    const struct profile_location *l = &p->locations[id];
    uint64_t key[3] = { l->address, (uint64_t)l->mapping << 32 | l->function, l->line };
    return XXH3_64bits(key, sizeof(key));
}

static uint64_t hash_string(const struct profile *p, uint32_t id)
{
    return XXH3_64bits(p->text + p->strings[id].at, p->strings[id].len);
}

static uint64_t hash_labels(const struct profile_label *labels, uint32_t count, uint64_t seed)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t key[3] = { (uint64_t)labels[i].key << 32 | labels[i].text, labels[i].unit,
                            (uint64_t)labels[i].number };
        seed = XXH3_64bits_withSeed(key, sizeof(key), seed);
    }
    return seed;
}

static uint64_t hash_sample(const struct profile *p, uint32_t id)
{
    const struct profile_sample *s = &p->samples[id];
    uint64_t hash = XXH3_64bits(p->frames + s->stack_at, s->depth * sizeof(*p->frames));
    return hash_labels(s->labels, s->label_count, hash);
}

/* making */

struct profile *profile_new(const struct profile_type *types, uint32_t type_count)
{
    struct profile *p = calloc(1, sizeof(*p));
    if (!p) return NULL;
    for (uint32_t i = 0; i < type_count; i++) p->types[i] = types[i];
    p->type_count = type_count;
    bool has_room = grow_array(&p->text, &p->text_cap, 1, PROFILE_TEXT_MAX, 1) &&
                    grow_array(&p->strings, &p->string_cap, 1, PROFILE_STRINGS_MAX, sizeof(*p->strings)) &&
                    grow_array(&p->mappings, &p->mapping_cap, 1, IDS_MAX, sizeof(*p->mappings)) &&
                    grow_array(&p->functions, &p->function_cap, 1, IDS_MAX, sizeof(*p->functions)) &&
                    grow_array(&p->locations, &p->location_cap, 1, IDS_MAX, sizeof(*p->locations));
    if (!has_room) {
        profile_free(p);
        return NULL;
    }
    p->text[p->text_len++] = 0;
    p->strings[p->string_count++] = (struct profile_string){ 0, 0 };
    p->mappings[p->mapping_count++] = (struct profile_mapping){ 0 };
    p->functions[p->function_count++] = (struct profile_function){ 0 };
    p->locations[p->location_count++] = (struct profile_location){ 0 };
    return p;
}

void profile_free(struct profile *p)
{
    if (!p) return;
    free(p->text);
    free(p->strings);
    free(p->mappings);
    free(p->functions);
    free(p->locations);
    free(p->frames);
    free(p->samples);
    free(p->string_index.slots);
    free(p->mapping_index.slots);
    free(p->function_index.slots);
    free(p->location_index.slots);
    free(p->sample_index.slots);
    free(p);
}

/* adding */

static uint32_t lost(struct profile *p)
{
    p->lost++;
    return 0;
}

uint32_t profile_add_string(struct profile *p, struct slice s)
{
    struct profile_index *x = &p->string_index;
    if (!s.len) return 0;
    if (!index_reserve(x, p, hash_string)) return lost(p);
    uint32_t at = (uint32_t)XXH3_64bits(s.data, s.len) & x->mask;
    for (; x->slots[at]; at = (at + 1) & x->mask)
        if (slice_equal(profile_text(p, x->slots[at] - 1), s)) return x->slots[at] - 1;
    if (!grow_array(&p->text, &p->text_cap, (uint64_t)p->text_len + s.len + 1, PROFILE_TEXT_MAX, 1))
        return lost(p);
    if (!grow_array(&p->strings, &p->string_cap, p->string_count + 1, PROFILE_STRINGS_MAX,
                    sizeof(*p->strings)))
        return lost(p);
    uint32_t id = p->string_count++;
    p->strings[id] = (struct profile_string){ p->text_len, (uint32_t)s.len };
    memcpy(p->text + p->text_len, s.data, s.len);
    p->text[p->text_len + s.len] = 0;
    p->text_len += (uint32_t)s.len + 1;
    index_set(x, at, id);
    return id;
}

/* The three tables differ in their rows only: the new one is put behind the others, looked for, and taken back if it
 * was there already. */
static uint32_t settle(struct profile *p, struct profile_index *x, uint32_t *count, hash_fn *hash_of,
                       bool (*is_equal)(const struct profile *p, uint32_t a, uint32_t b))
{
    uint32_t id = *count;
    if (!index_reserve(x, p, hash_of)) return lost(p);
    uint32_t at = (uint32_t)hash_of(p, id) & x->mask;
    for (; x->slots[at]; at = (at + 1) & x->mask)
        if (is_equal(p, x->slots[at] - 1, id)) return x->slots[at] - 1;
    ++*count;
    index_set(x, at, id);
    return id;
}

static bool is_same_mapping(const struct profile *p, uint32_t a, uint32_t b)
{
    const struct profile_mapping *l = &p->mappings[a], *r = &p->mappings[b];
    return l->start == r->start && l->limit == r->limit && l->file_offset == r->file_offset &&
           l->file == r->file && l->build_id == r->build_id;
}

static bool is_same_function(const struct profile *p, uint32_t a, uint32_t b)
{
    const struct profile_function *l = &p->functions[a], *r = &p->functions[b];
    return l->name == r->name && l->file == r->file && l->line == r->line;
}

static bool is_same_location(const struct profile *p, uint32_t a, uint32_t b)
{
    const struct profile_location *l = &p->locations[a], *r = &p->locations[b];
    return l->address == r->address && l->mapping == r->mapping && l->function == r->function &&
           l->line == r->line;
}

uint32_t profile_add_mapping(struct profile *p, const struct profile_mapping *m)
{
    if (!grow_array(&p->mappings, &p->mapping_cap, p->mapping_count + 1, IDS_MAX, sizeof(*m))) return lost(p);
    p->mappings[p->mapping_count] = *m;
    return settle(p, &p->mapping_index, &p->mapping_count, hash_mapping, is_same_mapping);
}

uint32_t profile_add_function(struct profile *p, const struct profile_function *f)
{
    if (!grow_array(&p->functions, &p->function_cap, p->function_count + 1, IDS_MAX, sizeof(*f)))
        return lost(p);
    p->functions[p->function_count] = *f;
    return settle(p, &p->function_index, &p->function_count, hash_function, is_same_function);
}

uint32_t profile_add_location(struct profile *p, const struct profile_location *l)
{
    if (!grow_array(&p->locations, &p->location_cap, p->location_count + 1, IDS_MAX, sizeof(*l)))
        return lost(p);
    p->locations[p->location_count] = *l;
    return settle(p, &p->location_index, &p->location_count, hash_location, is_same_location);
}

uint32_t profile_add_name(struct profile *p, struct slice name)
{
    struct profile_function f = { .name = profile_add_string(p, name) };
    struct profile_location l = { .function = profile_add_function(p, &f) };
    return profile_add_location(p, &l);
}

static bool is_sample(const struct profile *p, const struct profile_sample *s, const uint32_t *stack,
                      const struct profile_sample *wanted)
{
    if (s->depth != wanted->depth || s->label_count != wanted->label_count) return false;
    if (memcmp(p->frames + s->stack_at, stack, s->depth * sizeof(*stack)) != 0) return false;
    for (uint32_t i = 0; i < s->label_count; i++) {
        const struct profile_label *l = &s->labels[i], *r = &wanted->labels[i];
        if (l->key != r->key || l->text != r->text || l->unit != r->unit || l->number != r->number)
            return false;
    }
    return true;
}

/* The sample's id; a new one has values of 0. UINT32_MAX: no room. */
static uint32_t find_sample(struct profile *p, const uint32_t *stack, const struct profile_sample *wanted)
{
    struct profile_index *x = &p->sample_index;
    if (!index_reserve(x, p, hash_sample)) return UINT32_MAX;
    uint64_t hash = XXH3_64bits(stack, wanted->depth * sizeof(*stack));
    hash = hash_labels(wanted->labels, wanted->label_count, hash);
    uint32_t at = (uint32_t)hash & x->mask;
    for (; x->slots[at]; at = (at + 1) & x->mask)
        if (is_sample(p, &p->samples[x->slots[at] - 1], stack, wanted)) return x->slots[at] - 1;
    if (!grow_array(&p->samples, &p->sample_cap, p->sample_count + 1, PROFILE_SAMPLES_MAX, sizeof(*wanted)) ||
        !grow_array(&p->frames, &p->frame_cap, (uint64_t)p->frame_count + wanted->depth, PROFILE_FRAMES_MAX,
                    sizeof(*stack)))
        return UINT32_MAX;
    uint32_t id = p->sample_count++;
    p->samples[id] = *wanted;
    p->samples[id].stack_at = p->frame_count;
    if (wanted->depth) memcpy(p->frames + p->frame_count, stack, wanted->depth * sizeof(*stack));
    p->frame_count += wanted->depth;
    index_set(x, at, id);
    return id;
}

void profile_add(struct profile *p, const uint32_t *stack, uint32_t depth, const struct profile_label *labels,
                 uint32_t label_count, const int64_t *values)
{
    struct profile_sample wanted = { 0 };
    wanted.depth = (uint16_t)(depth < PROFILE_DEPTH_MAX ? depth : PROFILE_DEPTH_MAX);
    wanted.label_count = (uint16_t)(label_count < PROFILE_LABELS_MAX ? label_count : PROFILE_LABELS_MAX);
    if (wanted.label_count) memcpy(wanted.labels, labels, wanted.label_count * sizeof(*labels));
    uint32_t id = find_sample(p, stack, &wanted);
    if (id == UINT32_MAX) {
        p->lost++;
        return;
    }
    for (uint32_t i = 0; i < p->type_count; i++) p->samples[id].values[i] += values[i];
}

/* merging */

static uint32_t copy_string(struct profile *into, const struct profile *from, uint32_t id)
{
    return profile_add_string(into, profile_text(from, id));
}

static uint32_t copy_location(struct profile *into, const struct profile *from, uint32_t id)
{
    struct profile_location l = from->locations[id];
    if (l.mapping) {
        struct profile_mapping m = from->mappings[l.mapping];
        m.file = copy_string(into, from, m.file);
        m.build_id = copy_string(into, from, m.build_id);
        l.mapping = profile_add_mapping(into, &m);
    }
    if (l.function) {
        struct profile_function f = from->functions[l.function];
        f.name = copy_string(into, from, f.name);
        f.file = copy_string(into, from, f.file);
        l.function = profile_add_function(into, &f);
    }
    return profile_add_location(into, &l);
}

static void copy_sample(struct profile *into, const struct profile *from, const struct profile_sample *s,
                        const uint32_t *locations, int sign)
{
    uint32_t stack[PROFILE_DEPTH_MAX];
    struct profile_label labels[PROFILE_LABELS_MAX];
    int64_t values[PROFILE_TYPES_MAX];
    for (uint32_t i = 0; i < s->depth; i++) stack[i] = locations[from->frames[s->stack_at + i]];
    for (uint32_t i = 0; i < s->label_count; i++) {
        labels[i] = s->labels[i];
        labels[i].key = copy_string(into, from, labels[i].key);
        labels[i].text = copy_string(into, from, labels[i].text);
        labels[i].unit = copy_string(into, from, labels[i].unit);
    }
    for (uint32_t i = 0; i < from->type_count; i++) values[i] = sign * s->values[i];
    profile_add(into, stack, s->depth, labels, s->label_count, values);
}

void profile_merge(struct profile *into, const struct profile *from, int sign)
{
    uint32_t *locations = calloc(from->location_count, sizeof(*locations));
    if (!locations) {
        into->lost += from->sample_count;
        return;
    }
    for (uint32_t i = 1; i < from->location_count; i++) locations[i] = copy_location(into, from, i);
    for (uint32_t i = 0; i < from->sample_count; i++)
        copy_sample(into, from, &from->samples[i], locations, sign);
    into->lost += from->lost;
    free(locations);
}

/* reading */

struct slice profile_text(const struct profile *p, uint32_t string)
{
    return (struct slice){ p->text + p->strings[string].at, p->strings[string].len };
}

struct slice profile_frame_name(const struct profile *p, uint32_t location, char *out, size_t cap)
{
    const struct profile_location *l = &p->locations[location];
    if (l->function) return profile_text(p, p->functions[l->function].name);
    struct slice file = profile_text(p, p->mappings[l->mapping].file);
    const char *slash = file.len ? memrchr(file.data, '/', file.len) : NULL;
    const char *base = slash ? slash + 1 : file.data;
    int base_len = (int)(file.data + file.len - base);
    int len = snprintf(out, cap, "0x%llx%s%.*s%s", (unsigned long long)l->address, base_len ? " [" : "",
                       base_len, base, base_len ? "]" : "");
    return (struct slice){ out, (size_t)len < cap ? (size_t)len : cap - 1 };
}

int64_t profile_total(const struct profile *p, uint32_t type)
{
    int64_t total = 0;
    for (uint32_t i = 0; i < p->sample_count; i++) total += p->samples[i].values[type];
    return total;
}
