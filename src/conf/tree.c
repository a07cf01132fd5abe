#include "conf/tree.h"

#include <stdlib.h>

#define CLIP_BYTES 64

struct conf_cursor conf_cursor_start(struct slice source)
{
    return (struct conf_cursor){ .source = source, .place = { 1, 1 } };
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Over one character, which may be a line break. */
static void step_cursor(struct conf_cursor *c)
{
    const char *data = c->source.data;
    char first = data[c->offset++];
    c->characters++;
    if (first == '\n' || (first == '\r' && (c->offset == c->source.len || data[c->offset] != '\n'))) {
        c->place.line++;
        c->place.column = 1;
        return;
    }
    while (c->offset < c->source.len && is_continuation(data[c->offset])) c->offset++;
    c->place.column++;
}

struct conf_place conf_cursor_to_offset(struct conf_cursor *c, size_t offset)
{
    if (c->offset > offset) *c = conf_cursor_start(c->source);
    while (c->offset < offset && c->offset < c->source.len) step_cursor(c);
    return c->place;
}

struct conf_place conf_cursor_to_character(struct conf_cursor *c, size_t characters)
{
    if (c->characters > characters) *c = conf_cursor_start(c->source);
    while (c->characters < characters && c->offset < c->source.len) step_cursor(c);
    return c->place;
}

int conf_builder_start(struct conf_builder *b, struct conf_tree *tree, const char *source_name,
                       struct slice bytes, struct conf_faults *faults)
{
    *tree = (struct conf_tree){ .memory = conf_arena_new() };
    *b = (struct conf_builder){ .tree = tree,
                                .faults = faults,
                                .faults_before = faults->count + faults->dropped };
    tree->source_name = conf_arena_copy(tree->memory, slice_of(source_name));
    tree->root = conf_arena_alloc(tree->memory, sizeof(*tree->root));
    if (!tree->root) {
        conf_fault_no_memory(faults);
        return -1;
    }
    tree->root->place = (struct conf_place){ 1, 1 };
    if (bytes.len > CONF_SOURCE_MAX) {
        conf_fault_add(faults, tree->root->place, "", "%zu bytes are more than the %u MiB that are read",
                       bytes.len, CONF_SOURCE_MAX >> 20);
        return -1;
    }
    if (slice_starts_with(bytes, SLICE("\xef\xbb\xbf"))) {
        bytes.data += 3;
        bytes.len -= 3;
    }
    tree->source = conf_arena_slice(tree->memory, bytes);
    if (!conf_arena_is_short(tree->memory)) return 0;
    conf_fault_no_memory(faults);
    return -1;
}

int conf_builder_result(const struct conf_builder *b)
{
    bool is_short = conf_arena_is_short(b->tree->memory);
    if (is_short) conf_fault_no_memory(b->faults);
    uint32_t found = b->faults->count + b->faults->dropped - b->faults_before;
    b->tree->is_decodable = !is_short && found == b->harmless;
    return found || is_short ? -1 : 0;
}

static struct conf_level *top(struct conf_builder *b)
{
    return b->depth ? &b->levels[b->depth - 1] : NULL;
}

bool conf_builder_wants_key(const struct conf_builder *b)
{
    const struct conf_level *level = b->depth ? &b->levels[b->depth - 1] : NULL;
    return level && level->node->kind == CONF_NODE_MAP && !level->has_key;
}

static struct slice copy(struct conf_builder *b, struct slice text)
{
    return conf_arena_slice(b->tree->memory, text);
}

void conf_builder_key(struct conf_builder *b, struct conf_place place, struct slice key)
{
    struct conf_level *level = top(b);
    level->key = copy(b, key);
    level->key_place = place;
    level->has_key = true;
}

/* A new node where the next value belongs. */
static struct conf_node *add_node(struct conf_builder *b, struct conf_place place, enum conf_kind kind)
{
    struct conf_level *level = top(b);
    if (++b->node_count > CONF_NODES_MAX) {
        conf_fault_add(b->faults, place, "split it up", "there are more than %u values", CONF_NODES_MAX);
        return NULL;
    }
    struct conf_node *node = level ? conf_arena_alloc(b->tree->memory, sizeof(*node))
                                   : b->tree->root; /* made at the start */
    if (!node) return NULL;
    node->kind = kind;
    node->place = place;
    if (!level) return node;
    node->key = level->key;
    node->key_place = level->key_place;
    level->key = SLICE_NONE;
    level->has_key = false;
    level->child_count++;
    if (level->last_child)
        level->last_child->next = node;
    else
        level->node->first_child = node;
    level->last_child = node;
    return node;
}

struct conf_node *conf_builder_scalar(struct conf_builder *b, struct conf_place place, struct slice text,
                                      bool is_quoted)
{
    struct conf_node *node = add_node(b, place, CONF_NODE_SCALAR);
    if (!node) return NULL;
    node->text = copy(b, text);
    node->is_quoted = is_quoted;
    return node;
}

struct conf_node *conf_builder_null(struct conf_builder *b, struct conf_place place)
{
    return add_node(b, place, CONF_NODE_NULL);
}

struct conf_node *conf_builder_open(struct conf_builder *b, struct conf_place place, enum conf_kind kind)
{
    if (b->depth == CONF_DEPTH_MAX) {
        conf_fault_add(b->faults, place, "", "lists and maps are nested more than %u deep", CONF_DEPTH_MAX);
        return NULL;
    }
    struct conf_node *node = add_node(b, place, kind);
    if (node) b->levels[b->depth++] = (struct conf_level){ .node = node };
    return node;
}

static int compare_keys(const void *left, const void *right)
{
    const struct conf_node *a = *(const struct conf_node *const *)left,
                           *b = *(const struct conf_node *const *)right;
    size_t shorter = a->key.len < b->key.len ? a->key.len : b->key.len;
    int order = shorter ? memcmp(a->key.data, b->key.data, shorter) : 0;
    if (order) return order;
    if (a->key.len != b->key.len) return a->key.len < b->key.len ? -1 : 1;
    if (a->key_place.line != b->key_place.line) return a->key_place.line < b->key_place.line ? -1 : 1;
    return a->key_place.column < b->key_place.column ? -1 : 1;
}

/* By sorting, so that a map of very many keys costs no more than it should. */
static void refuse_doubles(struct conf_builder *b, const struct conf_level *level)
{
    const struct conf_node **nodes = calloc(level->child_count, sizeof(*nodes));
    size_t count = 0;
    if (!nodes) {
        conf_arena_set_short(b->tree->memory);
        return;
    }
    for (const struct conf_node *n = level->node->first_child; n; n = n->next) nodes[count++] = n;
    qsort(nodes, count, sizeof(*nodes), compare_keys);
    for (size_t i = 1; i < count; i++) {
        if (!slice_equal(nodes[i - 1]->key, nodes[i]->key)) continue;
        conf_fault_add(b->faults, nodes[i]->key_place, "keep one of them",
                       "key \"%.*s\" was given before, at line %u", SLICE_ARGS(conf_clip(nodes[i]->key)),
                       nodes[i - 1]->key_place.line);
        b->harmless++;
    }
    free(nodes);
}

void conf_builder_close(struct conf_builder *b)
{
    const struct conf_level *level = top(b);
    if (level->node->kind == CONF_NODE_MAP && level->child_count > 1) refuse_doubles(b, level);
    b->depth--;
}

struct slice conf_clip(struct slice text)
{
    if (text.len <= CLIP_BYTES) return text;
    text.len = CLIP_BYTES;
    while (text.len && is_continuation(text.data[text.len])) text.len--;
    return text;
}
