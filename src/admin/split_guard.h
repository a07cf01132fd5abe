/* admin/split_guard.h: what the API shows of the guard of a split. */
#pragma once

#include "admin/shape.h"
#include "proxy/split.h"

struct split_guard_answer {
    const char *state, *variant, *by, *reason;
    double weight;
};
extern const struct shape split_guard_shape;
struct split_guard_answer split_guard_describe(const struct split *s);
/* One of the list. */
void split_print(const struct split *s, const struct metric_registry *m, struct json *j);
