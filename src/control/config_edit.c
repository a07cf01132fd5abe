#include "control/config_edit.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/secret.h"
#include "conf/tree_change.h"
#include "control/config.h"

static bool is_digit(struct slice s, size_t at)
{
    return at < s.len && s.data[at] >= '0' && s.data[at] <= '9';
}

/* RFC 8259 6, for what both kinds of text have as a number. */
static bool is_number(struct slice s)
{
    size_t at = s.len && s.data[0] == '-';
    if (!is_digit(s, at)) return false;
    if (s.data[at] == '0' && is_digit(s, at + 1)) return false;
    while (is_digit(s, at)) at++;
    if (at < s.len && s.data[at] == '.') {
        if (!is_digit(s, ++at)) return false;
        while (is_digit(s, at)) at++;
    }
    return at == s.len;
}

static void write_scalar(const struct conf_node *node, struct json *j)
{
    bool is_bare = !node->is_quoted && (is_number(node->text) || slice_equal(node->text, SLICE("true")) ||
                                        slice_equal(node->text, SLICE("false")));
    if (is_bare)
        json_raw(j, node->text);
    else
        json_slice(j, node->text);
}

/* As deep as a tree may be (CONF_DEPTH_MAX). */
static void write_node(const struct conf_node *node, struct json *j)
{
    bool is_map = node->kind == CONF_NODE_MAP;
    if (node->kind == CONF_NODE_NULL) {
        json_null(j);
        return;
    }
    if (node->kind == CONF_NODE_SCALAR) {
        write_scalar(node, j);
        return;
    }
    (is_map ? json_object : json_array)(j);
    for (const struct conf_node *n = node->first_child; n; n = n->next) {
        if (is_map) json_key_slice(j, n->key);
        write_node(n, j);
    }
    (is_map ? json_object_end : json_array_end)(j);
}

static int write_tree(const struct conf_tree *tree, char **out, size_t *out_len, struct err *err)
{
    struct json j;
    json_init(&j, CONF_SOURCE_MAX, true);
    write_node(tree->root, &j);
    *out = json_take(&j, out_len);
    json_fini(&j);
    if (*out) return 0;
    return err_set(err, "as JSON the configuration would have more than %u MiB, or there is no memory for it",
                   CONF_SOURCE_MAX >> 20);
}

static int apply(struct conf_tree *tree, const char *change, struct conf_edit_result *result, struct err *err)
{
    return conf_is_edit(change) ? conf_tree_edit(tree, &config_type, change, result, err)
                                : conf_tree_change(tree, &config_type, change, err);
}

static int edit(struct conf_tree *tree, const char *const *changes, uint32_t count,
                struct conf_edit_result *last, char **out, size_t *out_len, struct err *err)
{
    for (uint32_t i = 0; i < count; i++)
        if (apply(tree, changes[i], last, err) < 0) return -1;
    return write_tree(tree, out, out_len, err);
}

int config_edit(const char *name, struct slice text, const char *const *changes, uint32_t count,
                struct conf_edit_result *last, char **out, size_t *out_len, char **faults, struct err *err)
{
    struct conf_tree tree;
    struct conf_faults *found = calloc(1, sizeof(*found));
    *faults = NULL;
    *err->text = 0;
    if (!found) return -1;
    secret_wipe_begin();
    int result = config_read_tree(&tree, name, text, found);
    if (result < 0)
        *faults = found->is_short ? NULL
                                  : conf_faults_print(found, &tree, true); /* its lines may have secrets */
    else
        result = edit(&tree, changes, count, last, out, out_len, err);
    conf_tree_free(&tree);
    free(found);
    secret_wipe_end();
    return result;
}
