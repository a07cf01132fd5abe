#include "conf/type_list.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void add_path(struct conf_type_use *use, const char *path)
{
    size_t len = strlen(use->paths);
    if (!*path || len + strlen(path) + 5 > sizeof(use->paths)) return;
    snprintf(use->paths + len, sizeof(use->paths) - len, "%s`%s`", len ? ", " : "", path);
}

static void visit(struct conf_type_list *list, const struct conf_type *type, const char *path);

static void visit_rows(struct conf_type_list *list, const struct conf_type *type, const char *path)
{
    char below[256];
    for (const struct conf_field *f = type->fields; f && f->name; f++) {
        if (!f->type || f->kind == CONF_KIND_REF || f->flags & CONF_STATUS) continue;
        const char *suffix = f->kind == CONF_KIND_LIST                                ? "[]"
                             : f->kind == CONF_KIND_MAP || f->kind == CONF_KIND_NAMED ? ".NAME"
                                                                                      : "";
        snprintf(below, sizeof(below), "%s%s%s%s", path, *path ? "." : "", f->name, suffix);
        visit(list, f->type, below);
    }
}

static void visit(struct conf_type_list *list, const struct conf_type *type, const char *path)
{
    if (!type->fields && !type->options) return;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->uses[i].type != type) continue;
        add_path(&list->uses[i], path);
        return;
    }
    assert(list->count < CONF_TYPES_MAX);
    struct conf_type_use *use = &list->uses[list->count++];
    *use = (struct conf_type_use){ .type = type };
    add_path(use, path);
    visit_rows(list, type, path);
    for (const struct conf_option *const *o = type->options; o && *o; o++)
        if ((*o)->type) visit_rows(list, (*o)->type, path);
}

void conf_type_list_fill(struct conf_type_list *list, const struct conf_type *root)
{
    list->count = 0;
    visit(list, root, "");
}

const char *conf_type_list_name(const struct conf_type_list *list, const struct conf_type *type, char out[64])
{
    uint32_t same = 1;
    for (uint32_t i = 0; i < list->count && list->uses[i].type != type; i++)
        if (strcmp(list->uses[i].type->name, type->name) == 0) same++;
    if (same > 1)
        snprintf(out, 64, "%s_%u", type->name, same);
    else
        snprintf(out, 64, "%s", type->name);
    for (char *c = out; *c; c++)
        if (*c == ' ') *c = '_';
    return out;
}
