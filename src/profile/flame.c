#include "profile/flame.h"

#include <stdlib.h>
#include <string.h>

#include "profile/flame_tree.h"
#include "profile/page.h"

/* The frames that are written, by place in "names"; place 0 is the frame of all that is folded. */
struct written {
    uint32_t *places;       /* by frame; 0: not yet */
    uint32_t *frames;       /* by place */
    uint32_t *files, count; /* by the file's string: its place in "files", plus 1 */
};

static void put_tree_frames(struct json *j, const struct flame_tree *t, struct written *w)
{
    json_key(j, "frames");
    json_array(j);
    for (uint32_t i = 0; i < t->node_count; i++) {
        const struct flame_node *n = &t->nodes[i];
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

static const struct profile_function *function_at(const struct flame_tree *t, const struct written *w,
                                                  uint32_t place)
{
    return &t->names->functions[t->functions[w->frames[place]]];
}

static void put_names(struct json *j, const struct flame_tree *t, const struct written *w)
{
    json_key(j, "names");
    json_array(j);
    json_string(j, "(folded)");
    for (uint32_t i = 1; i < w->count; i++) json_slice(j, profile_text(t->names, function_at(t, w, i)->name));
    json_array_end(j);
}

/* "files" has each once; "file_of" says which one a frame is of. */
static void put_files(struct json *j, const struct flame_tree *t, struct written *w)
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

static int put_frames(struct json *j, const struct flame_tree *t)
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

static void put_depths(struct json *j, const struct flame_tree *t)
{
    int64_t last = 0;
    json_key(j, "depths");
    json_array(j);
    for (uint32_t i = 0; i < t->node_count; i++) {
        const struct flame_node *n = &t->nodes[i];
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

static void put_label_sets(struct json *j, const struct flame_tree *t)
{
    json_key(j, "labels");
    json_array(j);
    for (uint32_t i = 0; i < t->set_count; i++) {
        const uint32_t *set = t->sets + (size_t)i * FLAME_LABEL_TEXTS;
        json_array(j);
        for (uint32_t at = 0; at < FLAME_LABEL_TEXTS; at += 2) {
            if (!set[at]) continue;
            json_slice(j, profile_text(t->names, set[at]));
            json_slice(j, profile_text(t->names, set[at + 1]));
        }
        json_array_end(j);
    }
    json_array_end(j);
}

static void put_values(struct json *j, const struct flame_tree *t, const char *key, bool is_base)
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

static void put_cells(struct json *j, const struct flame_tree *t)
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

static void put_facts(struct json *j, const struct flame_tree *t, const struct flame_graph *g)
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

static int put_tree(struct json *j, const struct flame_tree *t, const struct flame_graph *g)
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
    struct flame_tree t;
    uint32_t nodes_max = g->nodes_max && g->nodes_max < FLAME_NODES_MAX ? g->nodes_max : FLAME_NODES_MAX;
    int result = flame_tree_init(&t, g->profile, g->base, nodes_max);
    if (result == 0) result = put_tree(j, &t, g);
    flame_tree_fini(&t);
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
