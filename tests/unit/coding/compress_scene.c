#include "coding/compress_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct outer {
    struct compress_conf *compress;
};

static const struct conf_field fields[] = {
    { "compress", CONF_OPTIONAL(struct outer, compress, &compress_conf_type), .help = "What is tested." },
    { 0 },
};
static const struct conf_type outer_type = { .name = "file", .size = sizeof(struct outer), .fields = fields };

void compress_scene_open(struct compress_scene *s, const char *text)
{
    struct conf_faults *faults = calloc(1, sizeof(*faults));
    struct conf_tree tree;
    struct outer outer;
    char file[1024];
    assert_non_null(faults);
    *s = (struct compress_scene){ .arena = conf_arena_new() };
    snprintf(file, sizeof(file), "compress: %s\n", text);
    assert_int_equal(conf_read_yaml(&tree, "test", slice_of(file), faults), 0);
    if (conf_decode(&tree, &outer_type, &outer, s->arena, faults) < 0)
        s->faults = conf_faults_print(faults, &tree, true);
    else
        s->conf = outer.compress;
    conf_tree_free(&tree);
    free(faults);
}

void compress_scene_close(struct compress_scene *s)
{
    conf_arena_free(s->arena);
    free(s->faults);
}
