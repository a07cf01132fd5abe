#include "coding/compress_scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "conf/decoded.h"

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
    struct outer outer;
    char file[1024];
    *s = (struct compress_scene){ .arena = conf_arena_new() };
    snprintf(file, sizeof(file), "compress: %s\n", text);
    s->faults = decode_yaml(file, &outer_type, &outer, s->arena);
    if (!s->faults) s->conf = outer.compress;
}

void compress_scene_close(struct compress_scene *s)
{
    conf_arena_free(s->arena);
    free(s->faults);
}
