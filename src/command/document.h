/* command/document.h: JSON that the admin API answers, looked into by name. What answered may not be weir: a key that is
 * missing is as good as null. */
#pragma once

#include <stdio.h>

#include "base/json.h"
#include "conf/node.h"

/* The tree is set if it is 0, and to be freed. -1: it is no JSON, or over conf/node.h's bounds. */
MUST_CHECK int document_read(struct conf_tree *tree, struct slice json, struct err *err);
/* NULL if there is no such key, or it is null, or `map` is NULL. */
const struct conf_node *document_get(const struct conf_node *map, const char *key);
/* A scalar's text; "-" where there is none. Lives as long as the tree. */
const char *document_text(const struct conf_node *map, const char *key);
/* NAN where there is none. */
double document_number(const struct conf_node *map, const char *key);
bool document_is_true(const struct conf_node *map, const char *key);

/* The same JSON once more, as `j` forms it: within one line, for instance. */
void document_write(const struct conf_node *node, struct json *j);
/* The JSON as it is, with a line's end behind it. EX_OK or EX_IOERR. */
int document_print(struct slice json, FILE *out);
