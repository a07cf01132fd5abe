/* files/file_name.h: from a request's path to a file's name below a root. Pure, any thread. */
#pragma once

#include "base/text.h"

#define FILE_NAME_MAX 4096u /* PATH_MAX: no system takes a longer one */

/* Adds the name, relative and without a slash at its beginning, decoded; one that ends with a slash, or is empty, is a
 * folder's. NULL, or a static clause that says why no file can be meant. */
const char *file_name_put(struct slice path, bool takes_hidden, struct text *out);
/* A name that stays below where it begins: "a/b", not "../a", "/a", "a//b". */
bool file_name_is_plain(const char *name);
