/* profile/page.h: one HTML page without outside references: style, script and data are in it. It draws what its data
 * says (web/page.js): graphs, charts, tables. Control side only. */
#pragma once

#include <stdio.h>

#include "base/err.h"
#include "base/json.h"

/* Bytes of data at the most. */
#define PAGE_DATA_MAX ((size_t)256 << 20)

/* The first keys of the data, in an object that is open. NULL: none. */
void page_put_head(struct json *j, const char *title, const char *subtitle);

/* Writes the page of what `data` has, whole. Neither it nor the title can end the element that it stands in. Fails if
 * `data` or `out` did. */
MUST_CHECK int page_write(const char *title, const struct json *data, FILE *out, struct err *err);
