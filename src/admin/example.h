/* admin/example.h: an example of use of each row of the API, as curl sends it. Pure. */
#pragma once

#include "admin/router.h"
#include "base/text.h"

/* What stands in the place of a path's parameter, "pool"; and what it is, in words. Every parameter of the table has them. */
struct example_param {
    const char *name, *value, *help;
};
const struct example_param *example_param(struct slice name);

/* A line for a shell. */
void example_print(const struct admin_route *r, struct text *out);
