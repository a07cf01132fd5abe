/* `compress:` as it would be written. */
#pragma once

#include "coding/compress_conf.h"
#include "conf/decode.h"

struct compress_scene {
    struct compress_conf *conf; /* NULL: see `faults` */
    struct conf_arena *arena;
    char *faults;
};

/* text: what stands behind "compress: ". */
void compress_scene_open(struct compress_scene *s, const char *text);
void compress_scene_close(struct compress_scene *s);
