/* control/edit_faults.h: what is wrong with a configuration of which a part was sent, or a few values changed, by keys in place of
 * lines, which may have secrets in them: those of the part where it is in that. Any thread; control side only. */
#pragma once

#include "conf/node.h"

/* `part`: where that is in the tree (RFC 6901); NULL: none was sent. */

/* A line for each; allocated, NULL without memory. */
char *edit_faults_print(const struct conf_faults *faults, const struct conf_tree *tree, const char *part);
/* [{"pointer": "#/servers/0/weight", "detail": …, "remedy": …}, …]; in place of `pointer` `elsewhere` where it is outside of the part.
 * Likewise. */
char *edit_faults_json(const struct conf_faults *faults, const struct conf_tree *tree, const char *part);
