/* conf/type_list.h: every type with rows or options that can be reached from a root, each once, in the
 * order of first use: what the schema and the manual go through. */
#pragma once

#include "conf/field.h"

#define CONF_TYPES_MAX 128u

struct conf_type_use {
    const struct conf_type *type;
    char paths[256]; /* where it is used: "`pools.NAME.servers[]`, `...`" */
};

struct conf_type_list {
    struct conf_type_use uses[CONF_TYPES_MAX]; /* the first is the root */
    uint32_t count;
};

void conf_type_list_fill(struct conf_type_list *list, const struct conf_type *root);
/* "pool timeouts" as "pool_timeouts"; a second type of the same name gets a number. Returns out. */
const char *conf_type_list_name(const struct conf_type_list *list, const struct conf_type *type,
                                char out[64]);
