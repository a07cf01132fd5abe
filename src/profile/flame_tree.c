#include "profile/flame_tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_SET_SIZE (FLAME_LABEL_TEXTS * sizeof(uint32_t))

/* reading the profiles */

static struct slice cut(struct slice s)
{
    if (s.len > FLAME_NAME_MAX) s.len = FLAME_NAME_MAX;
    return s;
}

static uint32_t name_of(struct flame_tree *t, const struct profile *p, uint32_t string)
{
    return profile_add_string(t->names, cut(profile_text(p, string)));
}

static uint32_t function_of(struct flame_tree *t, const struct profile *p, uint32_t location)
{
    char memory[256];
    struct slice name = cut(profile_frame_name(p, location, memory, sizeof(memory)));
    struct slice file = profile_text(p, p->mappings[p->locations[location].mapping].file);
    const char *slash = file.len ? memrchr(file.data, '/', file.len) : NULL;
    if (slash) file = (struct slice){ slash + 1, (size_t)(file.data + file.len - slash - 1) };
    struct profile_function f = { .name = profile_add_string(t->names, name),
                                  .file = profile_add_string(t->names, cut(file)) };
    return profile_add_function(t->names, &f);
}

static uint32_t label_text(struct flame_tree *t, const struct profile *p, const struct profile_label *l)
{
    if (!l->unit) return name_of(t, p, l->text);
    char text[24];
    int len = snprintf(text, sizeof(text), "%lld", (long long)l->number);
    return profile_add_string(t->names, (struct slice){ text, (size_t)len });
}

static void read_sample(struct flame_tree *t, const struct profile *p, const struct profile_sample *s,
                        const uint32_t *functions, bool is_base)
{
    struct flame_cell *c = &t->cells[t->cell_count++];
    *c = (struct flame_cell){ .stack_at = t->stack_count, .depth = s->depth };
    for (uint32_t at = s->depth; at-- > 0;)
        t->stacks[t->stack_count++] = functions[p->frames[s->stack_at + at]];
    for (uint32_t i = 0; i < s->label_count; i++) {
        c->labels[2 * i] = name_of(t, p, s->labels[i].key);
        c->labels[2 * i + 1] = label_text(t, p, &s->labels[i]);
    }
    for (uint32_t i = 0; i < p->type_count; i++) {
        int64_t value = s->values[i];
        bool is_of_base = is_base != (value < 0);
        *(is_of_base ? &c->base[i] : &c->values[i]) = value < 0 ? -value : value;
        t->is_differential |= is_of_base;
    }
}

static int read_profile(struct flame_tree *t, const struct profile *p, bool is_base)
{
    uint32_t *functions = calloc(p->location_count, sizeof(*functions));
    if (!functions) return -1;
    for (uint32_t i = 1; i < p->location_count; i++) functions[i] = function_of(t, p, i);
    for (uint32_t i = 0; i < p->sample_count; i++) read_sample(t, p, &p->samples[i], functions, is_base);
    free(functions);
    return 0;
}

/* orders */

static int compare_functions(const void *a, const void *b, void *context)
{
    const struct profile *names = context;
    const struct profile_function *l = &names->functions[*(const uint32_t *)a],
                                  *r = &names->functions[*(const uint32_t *)b];
    struct slice left = profile_text(names, l->name), right = profile_text(names, r->name);
    int order = memcmp(left.data, right.data, left.len < right.len ? left.len : right.len);
    if (order) return order;
    if (left.len != right.len) return left.len < right.len ? -1 : 1;
    return (l->file > r->file) - (l->file < r->file);
}

static int rank_frames(struct flame_tree *t)
{
    uint32_t count = t->names->function_count;
    t->functions = calloc(count, sizeof(*t->functions));
    t->ranks = calloc(count, sizeof(*t->ranks));
    if (!t->functions || !t->ranks) return -1;
    for (uint32_t i = 0; i < count; i++) t->functions[i] = i;
    qsort_r(t->functions, count, sizeof(*t->functions), compare_functions, t->names);
    for (uint32_t i = 0; i < count; i++) t->ranks[t->functions[i]] = i;
    for (uint32_t i = 0; i < t->stack_count; i++) t->stacks[i] = t->ranks[t->stacks[i]];
    return 0;
}

static int compare_labels(const void *a, const void *b)
{
    const struct flame_cell *l = a, *r = b;
    return memcmp(l->labels, r->labels, sizeof(l->labels));
}

static int number_label_sets(struct flame_tree *t)
{
    t->sets = calloc((size_t)t->cell_count + 1, LABEL_SET_SIZE);
    if (!t->sets) return -1;
    qsort(t->cells, t->cell_count, sizeof(*t->cells), compare_labels);
    for (uint32_t i = 0; i < t->cell_count; i++) {
        struct flame_cell *c = &t->cells[i];
        if (i == 0 || compare_labels(c - 1, c) != 0)
            memcpy(t->sets + (size_t)t->set_count++ * FLAME_LABEL_TEXTS, c->labels, LABEL_SET_SIZE);
        c->set = t->set_count - 1;
    }
    return 0;
}

static uint32_t shared_depth(const struct flame_tree *t, const struct flame_cell *a,
                             const struct flame_cell *b)
{
    uint32_t depth = 0;
    const uint32_t *l = t->stacks + a->stack_at, *r = t->stacks + b->stack_at;
    while (depth < a->depth && depth < b->depth && l[depth] == r[depth]) depth++;
    return depth;
}

/* The order of the tree: what calls before what is called, siblings by name. */
static int compare_cells(const void *a, const void *b, void *context)
{
    const struct flame_tree *t = context;
    const struct flame_cell *l = a, *r = b;
    uint32_t depth = shared_depth(t, l, r);
    if (depth < l->depth && depth < r->depth)
        return t->stacks[l->stack_at + depth] < t->stacks[r->stack_at + depth] ? -1 : 1;
    if (l->depth != r->depth) return l->depth < r->depth ? -1 : 1;
    return (l->set > r->set) - (l->set < r->set);
}

static void merge_equal_cells(struct flame_tree *t)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->cell_count; i++) {
        struct flame_cell *c = &t->cells[i], *last = count ? &t->cells[count - 1] : NULL;
        if (!last || compare_cells(last, c, t) != 0) {
            t->cells[count++] = *c;
            continue;
        }
        for (uint32_t type = 0; type < t->type_count; type++) {
            last->values[type] += c->values[type];
            last->base[type] += c->base[type];
        }
    }
    t->cell_count = count;
}

/* the tree */

static int grow_nodes(struct flame_tree *t)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < t->cell_count; i++)
        count += t->cells[i].depth - (i ? shared_depth(t, &t->cells[i - 1], &t->cells[i]) : 0);
    t->nodes = calloc(count, sizeof(*t->nodes));
    if (!t->nodes) return -1;
    uint32_t path[PROFILE_DEPTH_MAX + 1] = { 0 };
    t->node_count = 1;
    for (uint32_t i = 0; i < t->cell_count; i++) {
        struct flame_cell *c = &t->cells[i];
        for (uint32_t depth = i ? shared_depth(t, c - 1, c) : 0; depth < c->depth; depth++) {
            path[depth + 1] = t->node_count++;
            t->nodes[path[depth + 1]] = (struct flame_node){ .parent = path[depth],
                                                             .frame = t->stacks[c->stack_at + depth],
                                                             .depth = depth + 1 };
        }
        c->node = path[c->depth];
    }
    return 0;
}

static void weigh_nodes(struct flame_tree *t)
{
    for (uint32_t type = 0; type < t->type_count; type++) {
        double total = 0;
        for (uint32_t i = 0; i < t->cell_count; i++)
            total += (double)t->cells[i].values[type] + (double)t->cells[i].base[type];
        if (total <= 0) continue;
        for (uint32_t i = 0; i < t->cell_count; i++) {
            const struct flame_cell *c = &t->cells[i];
            t->nodes[c->node].weight += ((double)c->values[type] + (double)c->base[type]) / total;
        }
    }
    for (uint32_t i = t->node_count; i-- > 1;) t->nodes[t->nodes[i].parent].weight += t->nodes[i].weight;
}

/* How many nodes there are if only those heavier than `limit` are kept. Nothing weighs more than what calls it, so
 * what is kept is a tree. */
static uint32_t keep_heavier(struct flame_tree *t, double limit)
{
    uint32_t count = 1;
    t->folded_count = 0;
    t->nodes[0].is_kept = true;
    t->nodes[0].has_folded = false;
    for (uint32_t i = 1; i < t->node_count; i++) {
        struct flame_node *n = &t->nodes[i], *parent = &t->nodes[n->parent];
        n->has_folded = false;
        n->is_kept = parent->is_kept && n->weight > limit;
        count += n->is_kept;
        t->folded_count += !n->is_kept;
        if (n->is_kept || !parent->is_kept || parent->has_folded) continue;
        parent->has_folded = true;
        count++;
    }
    return count;
}

static int compare_weights(const void *a, const void *b)
{
    double l = *(const double *)a, r = *(const double *)b;
    return (l < r) - (l > r);
}

static int fold_small_nodes(struct flame_tree *t, uint32_t nodes_max)
{
    if (keep_heavier(t, -1) <= nodes_max) return 0;
    double *weights = calloc(t->node_count, sizeof(*weights));
    if (!weights) return -1;
    for (uint32_t i = 0; i < t->node_count; i++) weights[i] = t->nodes[i].weight;
    qsort(weights, t->node_count, sizeof(*weights), compare_weights);
    uint32_t fits = 0, fits_not = t->node_count - 1; /* places in `weights` */
    while (fits + 1 < fits_not) {
        uint32_t middle = fits + (fits_not - fits) / 2;
        *(keep_heavier(t, weights[middle]) <= nodes_max ? &fits : &fits_not) = middle;
    }
    keep_heavier(t, weights[fits]);
    free(weights);
    return 0;
}

static void number_nodes(struct flame_tree *t)
{
    uint32_t id = 0;
    for (uint32_t i = 0; i < t->node_count; i++) {
        struct flame_node *n = &t->nodes[i];
        const struct flame_node *parent = &t->nodes[n->parent];
        if (n->is_kept) {
            n->id = id++;
            if (n->has_folded) n->folded_id = id++;
        } else {
            n->id = n->folded_id = parent->folded_id;
        }
    }
}

static int read_profiles(struct flame_tree *t, const struct profile *p, const struct profile *base)
{
    size_t cells = (size_t)p->sample_count + (base ? base->sample_count : 0);
    size_t frames = (size_t)p->frame_count + (base ? base->frame_count : 0);
    t->names = profile_new(p->types, p->type_count);
    t->cells = calloc(cells + 1, sizeof(*t->cells));
    t->stacks = calloc(frames + 1, sizeof(*t->stacks));
    if (!t->names || !t->cells || !t->stacks) return -1;
    if (read_profile(t, p, false) != 0) return -1;
    return base ? read_profile(t, base, true) : 0;
}

int flame_tree_init(struct flame_tree *t, const struct profile *p, const struct profile *base,
                    uint32_t nodes_max)
{
    *t = (struct flame_tree){ .type_count = p->type_count, .is_differential = base != NULL };
    if (read_profiles(t, p, base) != 0 || rank_frames(t) != 0 || number_label_sets(t) != 0) return -1;
    qsort_r(t->cells, t->cell_count, sizeof(*t->cells), compare_cells, t);
    merge_equal_cells(t);
    if (grow_nodes(t) != 0) return -1;
    weigh_nodes(t);
    if (fold_small_nodes(t, nodes_max) != 0) return -1;
    number_nodes(t);
    return 0;
}

void flame_tree_fini(struct flame_tree *t)
{
    profile_free(t->names);
    free(t->ranks);
    free(t->functions);
    free(t->stacks);
    free(t->cells);
    free(t->sets);
    free(t->nodes);
}
