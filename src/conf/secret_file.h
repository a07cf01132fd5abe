/* conf/secret_file.h: `token: file:/run/secrets/token`: a secret that stands in a file of its own. Control side only. */
#pragma once

#include "base/err.h"
#include "conf/arena.h"

/* Whether the text of a secret's row says where it is, and does not say it itself. */
bool secret_file_is_named(struct slice text);
/* What is in the file, without the line break at its end. The name, after "file:", is absolute; the file is a regular one
 * of at most 64 KiB of text. NULL with the sentence. */
MUST_CHECK const char *secret_file_read(struct slice text, struct conf_arena *arena, struct err *err);
