#include "control/edit_faults.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "conf/tree_edit.h"
#include "conf/tree_pointer.h"

#define PRINTED_MAX (256u << 10)

struct spot {
    char memory[CONF_EDIT_POINTER_MAX];
    const char *pointer;
    bool is_inside;
};

static void find(const struct conf_tree *tree, struct conf_place place, const char *part, struct spot *out)
{
    size_t len = part ? strlen(part) : 0;
    conf_pointer_find(tree->root, place, out->memory, sizeof(out->memory));
    const char *rest = out->memory + len;
    out->is_inside = part && strncmp(out->memory, part, len) == 0 && (*rest == '/' || !*rest);
    out->pointer = out->is_inside ? rest : out->memory;
}

char *edit_faults_print(const struct conf_faults *faults, const struct conf_tree *tree, const char *part)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (!out) return NULL;
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct conf_fault *f = &faults->items[i];
        struct spot spot;
        find(tree, f->place, part, &spot);
        fprintf(out, "%s%s%s: %s%s%s", i ? "\n" : "", spot.is_inside ? "#" : "the configuration's ",
                spot.pointer, f->message, f->remedy[0] ? "; " : "", f->remedy);
    }
    if (faults->dropped) fprintf(out, "\nand %u more", faults->dropped);
    fclose(out);
    return text;
}

char *edit_faults_json(const struct conf_faults *faults, const struct conf_tree *tree, const char *part)
{
    struct json j;
    json_init(&j, PRINTED_MAX, false);
    json_array(&j);
    for (uint32_t i = 0; i < faults->count; i++) {
        const struct conf_fault *f = &faults->items[i];
        struct spot spot;
        find(tree, f->place, part, &spot);
        json_object(&j);
        json_key(&j, spot.is_inside ? "pointer" : "elsewhere");
        json_printf(&j, "%s%s", spot.is_inside ? "#" : "", spot.pointer);
        json_key(&j, "detail");
        json_string(&j, f->message);
        if (f->remedy[0]) {
            json_key(&j, "remedy");
            json_string(&j, f->remedy);
        }
        json_object_end(&j);
    }
    json_array_end(&j);
    char *text = json_take(&j, NULL);
    json_fini(&j);
    return text;
}
