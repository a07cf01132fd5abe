#define XXH_INLINE_ALL
#include <xxhash.h>

#include "logs/place.h"

#include <stdlib.h>

uint64_t place_hash(struct slice head)
{
    return XXH3_64bits(head.data, head.len);
}

/* Every number of a place: its key, where it stands, and the most that it may be. */
struct number {
    const char *key;
    size_t at;
    uint64_t max;
};

static const struct number numbers[] = {
    { "device", offsetof(struct place, device), UINT64_MAX },
    { "inode", offsetof(struct place, inode), UINT64_MAX },
    { "offset", offsetof(struct place, offset), INT64_MAX },
    { "head_hash", offsetof(struct place, head_hash), UINT64_MAX },
    { "modified_ns", offsetof(struct place, modified_ns), UINT64_MAX },
};
#define NUMBERS (sizeof(numbers) / sizeof(*numbers))

static void print(const struct place *p, struct json *out)
{
    json_object(out);
    for (size_t i = 0; i < NUMBERS; i++) {
        uint64_t value;
        memcpy(&value, (const char *)p + numbers[i].at, sizeof(value));
        json_key(out, numbers[i].key);
        json_u64(out, value);
    }
    json_key(out, "head_len");
    json_u64(out, p->head_len);
    json_key(out, "is_rotated");
    json_bool(out, p->is_rotated);
    json_key(out, "name");
    json_string(out, p->name);
    json_object_end(out);
}

void places_print(const struct places *p, struct json *out)
{
    json_object(out);
    json_key(out, "floor_ns");
    json_u64(out, p->floor_ns);
    json_key(out, "files");
    json_array(out);
    for (uint32_t i = 0; i < p->count; i++) print(&p->items[i], out);
    json_array_end(out);
    json_object_end(out);
}

static int fault(const struct conf_node *n, const char *what, struct err *err)
{
    return err_set(err, "%u:%u: %s", n->place.line, n->place.column, what);
}

/* Digits and nothing else, at most `max`. */
static bool parse_u64(const struct conf_node *n, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;
    if (n->kind != CONF_NODE_SCALAR || n->is_quoted || !n->text.len) return false;
    for (size_t i = 0; i < n->text.len; i++) {
        char c = n->text.data[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(c - '0'), &value))
            return false;
    }
    *out = value;
    return value <= max;
}

static int parse_name(const struct conf_node *n, struct place *out, struct err *err)
{
    bool is_text = n->kind == CONF_NODE_SCALAR && n->is_quoted;
    if (!is_text || !n->text.len || n->text.len > ROTATION_NAME_MAX || memchr(n->text.data, 0, n->text.len) ||
        memchr(n->text.data, '/', n->text.len))
        return fault(n, "\"name\" must be the name of a file, without its directory", err);
    memcpy(out->name, n->text.data, n->text.len);
    return 0;
}

static int parse_value(const struct conf_node *n, struct place *out, struct err *err)
{
    uint64_t value = 0;
    for (size_t i = 0; i < NUMBERS; i++) {
        if (!slice_equal(n->key, slice_of(numbers[i].key))) continue;
        if (!parse_u64(n, numbers[i].max, &value)) return fault(n, "this must be a whole number", err);
        memcpy((char *)out + numbers[i].at, &value, sizeof(value));
        return 0;
    }
    if (slice_equal(n->key, SLICE("head_len"))) {
        if (!parse_u64(n, PLACE_HEAD_BYTES, &value)) return fault(n, "\"head_len\" must be 0 to 1024", err);
        out->head_len = (uint32_t)value;
        return 0;
    }
    if (slice_equal(n->key, SLICE("is_rotated"))) {
        out->is_rotated = slice_equal(n->text, SLICE("true"));
        bool is_bool = out->is_rotated || slice_equal(n->text, SLICE("false"));
        return is_bool && !n->is_quoted ? 0 : fault(n, "\"is_rotated\" must be true or false", err);
    }
    if (slice_equal(n->key, SLICE("name"))) return parse_name(n, out, err);
    return fault(n, "a place has no such key", err);
}

static int parse(const struct conf_node *node, struct place *out, struct err *err)
{
    uint32_t count = 0;
    if (node->kind != CONF_NODE_MAP) return fault(node, "a place must be an object", err);
    for (const struct conf_node *n = node->first_child; n; n = n->next, count++)
        if (parse_value(n, out, err) < 0) return -1;
    /* Neither reader lets a key occur twice. */
    if (count != NUMBERS + 3) return fault(node, "a key of this place is missing", err);
    if (out->offset && !out->head_len) return fault(node, "an offset needs the hash of the first bytes", err);
    return 0;
}

static int parse_all(const struct conf_node *node, struct places *out, struct err *err)
{
    bool is_map = node->kind == CONF_NODE_MAP;
    const struct conf_node *files = is_map ? conf_node_get(node, "files") : NULL;
    const struct conf_node *floor_ns = is_map ? conf_node_get(node, "floor_ns") : NULL;
    if (!files || files->kind != CONF_NODE_LIST || !floor_ns ||
        !parse_u64(floor_ns, UINT64_MAX, &out->floor_ns))
        return fault(node, "places must have the number \"floor_ns\" and the list \"files\"", err);
    for (const struct conf_node *n = node->first_child; n; n = n->next)
        if (n != files && n != floor_ns) return fault(n, "places have no such key", err);
    uint32_t count = 0;
    for (const struct conf_node *n = files->first_child; n; n = n->next) count++;
    if (count > PLACES_MAX) return fault(files, "there are more than 4096 places", err);
    if (!count) return 0;
    out->items = calloc(count, sizeof(*out->items));
    if (!out->items) return err_set(err, "out of memory for %u places", count);
    for (const struct conf_node *n = files->first_child; n; n = n->next)
        if (parse(n, &out->items[out->count++], err) < 0) return -1;
    return 0;
}

int places_parse(const struct conf_node *node, struct places *out, struct err *err)
{
    *out = (struct places){ 0 };
    int result = parse_all(node, out, err);
    if (result < 0) places_fini(out);
    return result;
}

void places_fini(struct places *p)
{
    free(p->items);
    *p = (struct places){ 0 };
}
