/* admin/shape.h: what answers look like, as rows. From the same rows come the JSON and its schema in
 * openapi.json. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "conf/field.h"

enum shape_kind {
    SHAPE_STRING,  /* const char *; NULL is null */
    SHAPE_BOOL,    /* bool */
    SHAPE_COUNT,   /* uint64_t; SHAPE_NULL is null */
    SHAPE_NUMBER,  /* double; not finite is null */
    SHAPE_OBJECT,  /* embedded struct of `of` */
    SHAPE_LIST,    /* struct shape_list of `of`; without `of`: of const char * */
    SHAPE_NUMBERS, /* struct shape_list of double; not finite is null */
    SHAPE_COUNTS,  /* struct shape_list of struct shape_count: an object with a number for each name */
    SHAPE_TEXTS,   /* an object with a text for each name; printed by who has it */
    SHAPE_CONF,    /* const void *: an object as configured, of `conf`; NULL is null */
};

#define SHAPE_NULL UINT64_MAX

struct shape_list {
    const void *data;
    uint32_t count;
};

struct shape_count {
    const char *name;
    uint64_t count;
};

struct shape_field {
    const char *name;
    enum shape_kind kind;
    size_t offset;
    const struct shape *of;
    const struct conf_type *conf;
    bool may_be_null, is_optional; /* is_optional: left out where it has no sense */
    const char *help;              /* a sentence */
};

/* A row that is called as its member is. */
#define SHAPE_ROW(type, member, kind, text, ...)                                            \
    {                                                                                       \
#member, SHAPE_##kind, offsetof(struct type, member), .help = (text), ##__VA_ARGS__ \
    }

struct shape {
    const char *name; /* of its schema: "Server" */
    size_t size;
    const struct shape_field *fields; /* ends with a row without a name */
};

void shape_print(const struct shape *shape, const void *object, struct json *out);
/* A JSON Schema of it. */
void shape_schema(const struct shape *shape, struct json *out);
