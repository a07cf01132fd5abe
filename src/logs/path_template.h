/* logs/path_template.h: paths with what only tells one thing from another folded away: "/users/17/orders/9f3c…" becomes
 * "/users/{n}/orders/{hex}". */
#pragma once

#include "base/text.h"

/* Segments of digits alone become {n}; of eight or more hexadecimal digits, hyphens let through (UUIDs), with at least one
 * digit, {hex}; others stay. What does not fit in `out` is cut. */
void path_template(struct slice path, struct text *out);
