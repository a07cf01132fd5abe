#include "conf_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_tree(const struct conf_node *node, struct json *out)
{
    bool is_map = node->kind == CONF_NODE_MAP;
    if (node->kind == CONF_NODE_NULL) {
        json_null(out);
    } else if (node->kind == CONF_NODE_SCALAR) {
        node->is_quoted ? json_slice(out, node->text) : json_raw(out, node->text);
    } else {
        is_map ? json_object(out) : json_array(out);
        for (const struct conf_node *n = node->first_child; n; n = n->next) {
            if (is_map) json_key_slice(out, n->key);
            write_tree(n, out);
        }
        is_map ? json_object_end(out) : json_array_end(out);
    }
}

static char *text_of(const struct conf_tree *tree, size_t *len)
{
    struct json j;
    json_init(&j, ENCODED_MAX, false);
    write_tree(tree->root, &j);
    char *text = json_take(&j, len);
    MUST(text != NULL);
    return text;
}

/* A tree that is written out reads back as the same tree. */
static void check_tree(const struct conf_tree *tree)
{
    static struct conf_faults faults;
    struct conf_tree again;
    size_t len, second_len;
    char *text = text_of(tree, &len);
    faults = (struct conf_faults){ 0 };
    /* Escapes can make the text longer than what is read. */
    int result = conf_read_json(&again, "again", (struct slice){ text, len }, &faults);
    conf_check_faults(result, &faults, &again);
    MUST(result == 0 || len > CONF_SOURCE_MAX);
    if (result == 0) {
        char *second = text_of(&again, &second_len);
        MUST(len == second_len && memcmp(text, second, len) == 0);
        free(second);
    }
    conf_tree_free(&again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct conf_faults faults;
    struct conf_tree tree;
    faults = (struct conf_faults){ 0 };
    int result = conf_read_json(&tree, "fuzz.json", (struct slice){ (const char *)data, size }, &faults);
    conf_check_faults(result, &faults, &tree);
    if (result == 0) {
        check_tree(&tree);
        conf_check(&tree);
    }
    conf_tree_free(&tree);
    return 0;
}
