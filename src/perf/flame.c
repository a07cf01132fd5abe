#include "perf/flame.h"

#include <stdlib.h>
#include <string.h>

#include "perf/page.h"

#define LABEL_TEXTS (2 * PROFILE_LABELS_MAX)
#define LABEL_SET_SIZE (LABEL_TEXTS * sizeof(uint32_t))

/* A sample of either profile, or several that the graph shows as one. */
struct cell {
    uint32_t stack_at, depth;     /* in `stacks`: the outermost first */
    uint32_t labels[LABEL_TEXTS]; /* keys and texts; the rest is 0 */
    uint32_t set, node;
    int64_t values[PROFILE_TYPES_MAX], base[PROFILE_TYPES_MAX];
};

/* A node stands before what it calls and behind what calls it. */
struct node {
    uint32_t parent, frame, depth;
    uint32_t id, folded_id; /* as written; folded_id: of the child that stands for its small ones */
    double weight;          /* its share of everything, all types added up */
    bool is_kept, has_folded;
};

/* A frame is a function's name and the file that it is mapped from. Both, and the labels' texts, are entries of
 * `names`, a profile without samples; a frame's number is its place in the order of names. */
struct tree {
    struct profile *names;
    uint32_t type_count;
    uint32_t *ranks, *functions; /* frame by function and back */
    uint32_t *stacks;
    uint32_t stack_count;
    struct cell *cells;
    uint32_t cell_count;
    uint32_t *sets; /* the combinations of labels, each as it is in a cell */
    uint32_t set_count;
    struct node *nodes; /* [0]: everything */
    uint32_t node_count, folded_count;
    bool is_differential;
};

static void tree_fini(struct tree *t)
{
    profile_free(t->names);
    free(t->ranks);
    free(t->functions);
    free(t->stacks);
    free(t->cells);
    free(t->sets);
    free(t->nodes);
}

/* reading the profiles */

static struct slice cut(struct slice s)
{
    if (s.len > FLAME_NAME_MAX) s.len = FLAME_NAME_MAX;
    return s;
}

static uint32_t name_of(struct tree *t, const struct profile *p, uint32_t string)
{
    return profile_add_string(t->names, cut(profile_text(p, string)));
}

static uint32_t function_of(struct tree *t, const struct profile *p, uint32_t location)
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

static uint32_t label_text(struct tree *t, const struct profile *p, const struct profile_label *l)
{
    if (!l->unit) return name_of(t, p, l->text);
    char text[24];
    int len = snprintf(text, sizeof(text), "%lld", (long long)l->number);
    return profile_add_string(t->names, (struct slice){ text, (size_t)len });
}

static void read_sample(struct tree *t, const struct profile *p, const struct profile_sample *s,
                        const uint32_t *functions, bool is_base)
{
    struct cell *c = &t->cells[t->cell_count++];
    *c = (struct cell){ .stack_at = t->stack_count, .depth = s->depth };
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

static int read_profile(struct tree *t, const struct profile *p, bool is_base)
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

static int rank_frames(struct tree *t)
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
    const struct cell *l = a, *r = b;
    return memcmp(l->labels, r->labels, sizeof(l->labels));
}

static int number_label_sets(struct tree *t)
{
    t->sets = calloc((size_t)t->cell_count + 1, LABEL_SET_SIZE);
    if (!t->sets) return -1;
    qsort(t->cells, t->cell_count, sizeof(*t->cells), compare_labels);
    for (uint32_t i = 0; i < t->cell_count; i++) {
        struct cell *c = &t->cells[i];
        if (i == 0 || compare_labels(c - 1, c) != 0)
            memcpy(t->sets + (size_t)t->set_count++ * LABEL_TEXTS, c->labels, LABEL_SET_SIZE);
        c->set = t->set_count - 1;
    }
    return 0;
}

static uint32_t shared_depth(const struct tree *t, const struct cell *a, const struct cell *b)
{
    uint32_t depth = 0;
    const uint32_t *l = t->stacks + a->stack_at, *r = t->stacks + b->stack_at;
    while (depth < a->depth && depth < b->depth && l[depth] == r[depth]) depth++;
    return depth;
}

/* The order of the tree: what calls before what is called, siblings by name. */
static int compare_cells(const void *a, const void *b, void *context)
{
    const struct tree *t = context;
    const struct cell *l = a, *r = b;
    uint32_t depth = shared_depth(t, l, r);
    if (depth < l->depth && depth < r->depth)
        return t->stacks[l->stack_at + depth] < t->stacks[r->stack_at + depth] ? -1 : 1;
    if (l->depth != r->depth) return l->depth < r->depth ? -1 : 1;
    return (l->set > r->set) - (l->set < r->set);
}

static void merge_equal_cells(struct tree *t)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->cell_count; i++) {
        struct cell *c = &t->cells[i], *last = count ? &t->cells[count - 1] : NULL;
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

static int grow_nodes(struct tree *t)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < t->cell_count; i++)
        count += t->cells[i].depth - (i ? shared_depth(t, &t->cells[i - 1], &t->cells[i]) : 0);
    t->nodes = calloc(count, sizeof(*t->nodes));
    if (!t->nodes) return -1;
    uint32_t path[PROFILE_DEPTH_MAX + 1] = { 0 };
    t->node_count = 1;
    for (uint32_t i = 0; i < t->cell_count; i++) {
        struct cell *c = &t->cells[i];
        for (uint32_t depth = i ? shared_depth(t, c - 1, c) : 0; depth < c->depth; depth++) {
            path[depth + 1] = t->node_count++;
            t->nodes[path[depth + 1]] = (struct node){ .parent = path[depth],
                                                       .frame = t->stacks[c->stack_at + depth],
                                                       .depth = depth + 1 };
        }
        c->node = path[c->depth];
    }
    return 0;
}

static void weigh_nodes(struct tree *t)
{
    for (uint32_t type = 0; type < t->type_count; type++) {
        double total = 0;
        for (uint32_t i = 0; i < t->cell_count; i++)
            total += (double)t->cells[i].values[type] + (double)t->cells[i].base[type];
        if (total <= 0) continue;
        for (uint32_t i = 0; i < t->cell_count; i++) {
            const struct cell *c = &t->cells[i];
            t->nodes[c->node].weight += ((double)c->values[type] + (double)c->base[type]) / total;
        }
    }
    for (uint32_t i = t->node_count; i-- > 1;) t->nodes[t->nodes[i].parent].weight += t->nodes[i].weight;
}

/* How many nodes there are if only those heavier than `limit` are kept. Nothing weighs more than what calls it, so
 * what is kept is a tree. */
static uint32_t keep_heavier(struct tree *t, double limit)
{
    uint32_t count = 1;
    t->folded_count = 0;
    t->nodes[0].is_kept = true;
    t->nodes[0].has_folded = false;
    for (uint32_t i = 1; i < t->node_count; i++) {
        struct node *n = &t->nodes[i], *parent = &t->nodes[n->parent];
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

static int fold_small_nodes(struct tree *t, uint32_t nodes_max)
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

static void number_nodes(struct tree *t)
{
    uint32_t id = 0;
    for (uint32_t i = 0; i < t->node_count; i++) {
        struct node *n = &t->nodes[i];
        const struct node *parent = &t->nodes[n->parent];
        if (n->is_kept) {
            n->id = id++;
            if (n->has_folded) n->folded_id = id++;
        } else {
            n->id = n->folded_id = parent->folded_id;
        }
    }
}

static int tree_build(struct tree *t, const struct flame_graph *g)
{
    const struct profile *base = g->base;
    uint32_t cells = g->profile->sample_count + (base ? base->sample_count : 0);
    uint32_t frames = g->profile->frame_count + (base ? base->frame_count : 0);
    t->type_count = g->profile->type_count;
    t->is_differential = base != NULL;
    t->names = profile_new(g->profile->types, t->type_count);
    t->cells = calloc((size_t)cells + 1, sizeof(*t->cells));
    t->stacks = calloc((size_t)frames + 1, sizeof(*t->stacks));
    if (!t->names || !t->cells || !t->stacks) return -1;
    if (read_profile(t, g->profile, false) != 0 || (base && read_profile(t, base, true) != 0)) return -1;
    if (rank_frames(t) != 0 || number_label_sets(t) != 0) return -1;
    return 0;
}

static int tree_shape(struct tree *t, uint32_t nodes_max)
{
    qsort_r(t->cells, t->cell_count, sizeof(*t->cells), compare_cells, t);
    merge_equal_cells(t);
    if (grow_nodes(t) != 0) return -1;
    weigh_nodes(t);
    if (fold_small_nodes(t, nodes_max) != 0) return -1;
    number_nodes(t);
    return 0;
}

/* writing */

/* The frames that are written, by place in "names"; place 0 is the frame of all that is folded. */
struct written {
    uint32_t *places;       /* by frame; 0: not yet */
    uint32_t *frames;       /* by place */
    uint32_t *files, count; /* by the file's string: its place in "files", plus 1 */
};

static void put_tree_frames(struct json *j, const struct tree *t, struct written *w)
{
    json_key(j, "frames");
    json_array(j);
    for (uint32_t i = 0; i < t->node_count; i++) {
        const struct node *n = &t->nodes[i];
        if (n->is_kept && i) {
            if (!w->places[n->frame]) {
                w->places[n->frame] = w->count;
                w->frames[w->count++] = n->frame;
            }
            json_u64(j, w->places[n->frame]);
        }
        if (n->has_folded) json_u64(j, 0);
    }
    json_array_end(j);
}

static const struct profile_function *function_at(const struct tree *t, const struct written *w,
                                                  uint32_t place)
{
    return &t->names->functions[t->functions[w->frames[place]]];
}

static void put_names(struct json *j, const struct tree *t, const struct written *w)
{
    json_key(j, "names");
    json_array(j);
    json_string(j, "(folded)");
    for (uint32_t i = 1; i < w->count; i++) json_slice(j, profile_text(t->names, function_at(t, w, i)->name));
    json_array_end(j);
}

/* "files" has each once; "file_of" says which one a frame is of. */
static void put_files(struct json *j, const struct tree *t, struct written *w)
{
    uint32_t count = 0;
    json_key(j, "files");
    json_array(j);
    json_string(j, "");
    w->files[0] = ++count;
    for (uint32_t i = 1; i < w->count; i++) {
        uint32_t file = function_at(t, w, i)->file;
        if (w->files[file]) continue;
        w->files[file] = ++count;
        json_slice(j, profile_text(t->names, file));
    }
    json_array_end(j);
    json_key(j, "file_of");
    json_array(j);
    json_u64(j, 0);
    for (uint32_t i = 1; i < w->count; i++) json_u64(j, w->files[function_at(t, w, i)->file] - 1);
    json_array_end(j);
}

static int put_frames(struct json *j, const struct tree *t)
{
    struct written w = { .count = 1 };
    w.places = calloc(t->names->function_count, sizeof(*w.places));
    w.frames = calloc((size_t)t->names->function_count + 1, sizeof(*w.frames));
    w.files = calloc(t->names->string_count, sizeof(*w.files));
    bool has_room = w.places && w.frames && w.files;
    if (has_room) {
        put_tree_frames(j, t, &w);
        put_names(j, t, &w);
        put_files(j, t, &w);
    }
    free(w.places);
    free(w.frames);
    free(w.files);
    return has_room ? 0 : -1;
}

static void put_depths(struct json *j, const struct tree *t)
{
    int64_t last = 0;
    json_key(j, "depths");
    json_array(j);
    for (uint32_t i = 0; i < t->node_count; i++) {
        const struct node *n = &t->nodes[i];
        if (n->is_kept && i) {
            json_i64(j, n->depth - last);
            last = n->depth;
        }
        if (n->has_folded) {
            json_i64(j, n->depth + 1 - last);
            last = n->depth + 1;
        }
    }
    json_array_end(j);
}

static void put_label_sets(struct json *j, const struct tree *t)
{
    json_key(j, "labels");
    json_array(j);
    for (uint32_t i = 0; i < t->set_count; i++) {
        const uint32_t *set = t->sets + (size_t)i * LABEL_TEXTS;
        json_array(j);
        for (uint32_t at = 0; at < LABEL_TEXTS; at += 2) {
            if (!set[at]) continue;
            json_slice(j, profile_text(t->names, set[at]));
            json_slice(j, profile_text(t->names, set[at + 1]));
        }
        json_array_end(j);
    }
    json_array_end(j);
}

static void put_values(struct json *j, const struct tree *t, const char *key, bool is_base)
{
    json_key(j, key);
    json_array(j);
    for (uint32_t type = 0; type < t->type_count; type++) {
        json_array(j);
        for (uint32_t i = 0; i < t->cell_count; i++)
            json_i64(j, is_base ? t->cells[i].base[type] : t->cells[i].values[type]);
        json_array_end(j);
    }
    json_array_end(j);
}

static void put_cells(struct json *j, const struct tree *t)
{
    int64_t last = 0;
    json_key(j, "cells");
    json_array(j);
    for (uint32_t i = 0; i < t->cell_count; i++) {
        int64_t id = t->nodes[t->cells[i].node].id;
        json_i64(j, id - last);
        last = id;
    }
    json_array_end(j);
    json_key(j, "sets");
    json_array(j);
    for (uint32_t i = 0; i < t->cell_count; i++) json_u64(j, t->cells[i].set);
    json_array_end(j);
    put_values(j, t, "values", false);
    if (t->is_differential) put_values(j, t, "base", true);
}

static void put_facts(struct json *j, const struct tree *t, const struct flame_graph *g)
{
    const struct profile *p = g->profile;
    json_key(j, "name");
    json_string(j, g->name);
    json_key(j, "types");
    json_array(j);
    for (uint32_t i = 0; i < t->type_count; i++) {
        json_array(j);
        json_string(j, p->types[i].type);
        json_string(j, p->types[i].unit);
        json_array_end(j);
    }
    json_array_end(j);
    json_key(j, "type");
    json_u64(j, g->type < t->type_count ? g->type : 0);
    json_key(j, "lost");
    json_u64(j, p->lost + t->names->lost + (g->base ? g->base->lost : 0));
    json_key(j, "folded");
    json_u64(j, t->folded_count);
}

static int put_tree(struct json *j, const struct tree *t, const struct flame_graph *g)
{
    json_object(j);
    put_facts(j, t, g);
    int result = put_frames(j, t);
    put_depths(j, t);
    put_label_sets(j, t);
    put_cells(j, t);
    json_object_end(j);
    return result;
}

static bool has_types_of(const struct profile *p, const struct profile *other)
{
    if (p->type_count != other->type_count) return false;
    for (uint32_t i = 0; i < p->type_count; i++)
        if (strcmp(p->types[i].type, other->types[i].type) != 0 ||
            strcmp(p->types[i].unit, other->types[i].unit) != 0)
            return false;
    return true;
}

int flame_put(struct json *j, const struct flame_graph *g, struct err *err)
{
    if (g->base && !has_types_of(g->profile, g->base))
        return err_set(err, "the two profiles do not count the same: one cannot be compared with the other");
    struct tree t = { 0 };
    uint32_t nodes_max = g->nodes_max && g->nodes_max < FLAME_NODES_MAX ? g->nodes_max : FLAME_NODES_MAX;
    int result = tree_build(&t, g);
    if (result == 0) result = tree_shape(&t, nodes_max);
    if (result == 0) result = put_tree(j, &t, g);
    tree_fini(&t);
    return result == 0 ? 0 : err_set(err, "out of memory for a flame graph");
}

int flame_write(const struct profile *p, const struct profile *base, const struct flame_options *o, FILE *out,
                struct err *err)
{
    struct flame_graph graph = { .name = "", .profile = p, .base = base, .type = o->type };
    struct json j;
    json_init(&j, PAGE_DATA_MAX, false);
    json_object(&j);
    page_put_head(&j, o->title, o->subtitle);
    json_key(&j, "graphs");
    json_array(&j);
    int result = flame_put(&j, &graph, err);
    json_array_end(&j);
    json_object_end(&j);
    if (result == 0) result = page_write(o->title, &j, out, err);
    json_fini(&j);
    return result;
}
