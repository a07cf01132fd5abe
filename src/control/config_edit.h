/* control/config_edit.h: a configuration's text with a few values changed, for who switches something by the API: what comes of
 * it is a text of its own, which is parsed, kept and comes back like any other. It is JSON: remarks are lost, variables
 * stay what they are. Any thread; control side only. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "conf/tree_edit.h"

/* `changes` as conf/tree_change.h or conf/tree_edit.h has them, of the last of which, if it is an edit, *last says what became of it; `name` as config_read_tree() has it. *out is for config_text_free(). -1: *faults says
 * what is wrong with the text (allocated, the caller's), or err which change does not fit; neither: there is no memory. */
MUST_CHECK int config_edit(const char *name, struct slice text, const char *const *changes, uint32_t count,
                           struct conf_edit_result *last, char **out, size_t *out_len, char **faults,
                           struct err *err);
