/* control/config_files.h: a configuration that stands in several files (`include:`), as one text: what is parsed, hashed, kept
 * and sent is that text, so that a generation is what it was, whatever became of the files. It begins with a line that says
 * so, and has the files one after another, byte for byte, each behind a line with its length and its name:
 *
 *     # weir: a configuration of several files
 *     # file: 81 weir.yaml
 *     …
 *     # file: 120 conf.d/web.yaml
 *     …
 *
 * A configuration without `include:` is its file's own text. Any thread; control side only. */
#pragma once

#include "conf/node.h"

#define CONFIG_FILE_MAX (4u << 20) /* of one file, and of all together */

/* A file's text, all of it, for config_text_free(); -1 with the sentence. */
MUST_CHECK int config_read(const char *path, char **text, size_t *len, struct err *err);
/* The file and what it includes, as one text, for config_text_free(). -1: *faults says what is wrong with an `include:`
 * (allocated, the caller's), or err why a file could not be read. What is wrong with the files otherwise, comes out where
 * the text is read. */
MUST_CHECK int config_gather(const char *path, char **text, size_t *len, char **faults, struct err *err);
void config_text_free(char *text, size_t len); /* NULL is fine; there may be secrets in it */

/* Reads either kind of text; `name` is what its (first) file is called in messages. As conf_read_yaml(): the tree is set
 * either way. */
MUST_CHECK int config_read_tree(struct conf_tree *tree, const char *name, struct slice text,
                                struct conf_faults *faults);
/* By the name's ending; else it is YAML. */
bool config_is_json(const char *name);
