#include "command/document.h"

#include <math.h>
#include <stdlib.h>
#include <sysexits.h>

int document_read(struct conf_tree *tree, struct slice json, struct err *err)
{
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    if (!faults) return err_set(err, "out of memory");
    int result = conf_read_json(tree, "answer", json, faults);
    if (result < 0) {
        err_set(err, "the answer is no JSON of weir's: %s", faults->items[0].message);
        conf_tree_free(tree);
    }
    free(faults);
    return result;
}

const struct conf_node *document_get(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = map ? conf_node_get(map, key) : NULL;
    return n && n->kind != CONF_NODE_NULL ? n : NULL;
}

static const struct conf_node *scalar_of(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = document_get(map, key);
    return n && n->kind == CONF_NODE_SCALAR ? n : NULL;
}

const char *document_text(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = scalar_of(map, key);
    return n ? n->text.data : "-";
}

double document_number(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = scalar_of(map, key);
    if (!n || n->is_quoted) return NAN;
    char *end;
    double value = strtod(n->text.data, &end);
    return end == n->text.data || *end ? NAN : value;
}

bool document_is_true(const struct conf_node *map, const char *key)
{
    const struct conf_node *n = scalar_of(map, key);
    return n && !n->is_quoted && slice_equal(n->text, SLICE("true"));
}

/* The depth is bounded by the reader's. */
void document_write(const struct conf_node *node, struct json *j)
{
    bool is_map = node->kind == CONF_NODE_MAP;
    if (node->kind == CONF_NODE_NULL) {
        json_null(j);
    } else if (node->kind == CONF_NODE_SCALAR && node->is_quoted) {
        json_slice(j, node->text);
    } else if (node->kind == CONF_NODE_SCALAR) {
        json_raw(j, node->text);
    } else {
        (is_map ? json_object : json_array)(j);
        for (const struct conf_node *n = node->first_child; n; n = n->next) {
            if (is_map) json_key_slice(j, n->key);
            document_write(n, j);
        }
        (is_map ? json_object_end : json_array_end)(j);
    }
}

int document_print(struct slice json, FILE *out)
{
    while (json.len && json.data[json.len - 1] == '\n') json.len--;
    bool is_whole = fwrite(json.data, 1, json.len, out) == json.len && fputc('\n', out) != EOF;
    return is_whole && fflush(out) != EOF ? EX_OK : EX_IOERR;
}
