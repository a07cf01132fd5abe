/* files/files_conf.h: a folder that a route answers from, as configured. Part of a snapshot. */
#pragma once

#include "coding/coding.h"
#include "conf/field.h"

/* `types: {glb: model/gltf-binary}`: a map whose elements have a short form. */
struct media_type_conf {
    const char *name; /* the ending, without its dot, in lower case */
    const char *type;
};

/* `files: {root: /srv/www, index: [index.html]}`; short form: `root`. */
struct files_conf {
    const char *root;
    struct conf_items index;         /* const char *: of a folder, the first that is there */
    const char *fallback;            /* below the root: in place of what is not there; NULL: 404 */
    struct conf_items precompressed; /* uint32_t, enum coding: siblings that may go in a file's place */
    struct conf_items types;         /* struct media_type_conf: before weir's own */
    bool hidden;                     /* also names that begin with a dot */
};

extern const struct conf_type files_conf_type;
