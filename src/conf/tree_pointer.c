#include "conf/tree_pointer.h"

void conf_pointer_add(struct text *t, const struct conf_node *child, uint32_t index)
{
    text_add_char(t, '/');
    if (!child->key.data) {
        text_add_u64(t, index);
        return;
    }
    for (size_t i = 0; i < child->key.len; i++) {
        char c = child->key.data[i];
        if (c == '~')
            TEXT_LITERAL(t, "~0");
        else if (c == '/')
            TEXT_LITERAL(t, "~1");
        else
            text_add_char(t, c);
    }
}

static bool is_same(struct conf_place a, struct conf_place b)
{
    return a.line == b.line && a.column == b.column && a.file == b.file;
}

/* As deep as a tree may be (CONF_DEPTH_MAX). */
static bool find(const struct conf_node *node, struct conf_place place, struct text *t)
{
    uint32_t index = 0;
    if (is_same(node->place, place) || (node->key.data && is_same(node->key_place, place))) return true;
    for (const struct conf_node *n = node->first_child; n; n = n->next, index++) {
        size_t before = t->len;
        conf_pointer_add(t, n, index);
        if (find(n, place, t)) return true;
        t->len = before;
    }
    return false;
}

bool conf_pointer_find(const struct conf_node *root, struct conf_place place, char *out, size_t size)
{
    struct text t = text_over(out, size - 1);
    bool is_found = find(root, place, &t) && t.len < t.cap;
    out[is_found ? t.len : 0] = 0;
    return is_found;
}
