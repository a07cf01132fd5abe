/* conf/variables.h: ${NAME} in the values of a tree: what the environment of this process has under that name. Control side
 * only.
 *
 *     ${NAME}             its value; a fault if it is not set
 *     ${NAME:-default}    its value, or the default where it is not set or empty
 *     $${NAME}            the text ${NAME} itself
 *
 * Names are capitals, digits and underscores, the first no digit. Whatever else follows a dollar sign is left alone: rows have
 * variables of their own, in small letters or numbers. Keys are not filled in. */
#pragma once

#include "conf/node.h"

/* Fills in every value below the root; node->written keeps what stood there, and messages about a node show the line that
 * it stands in. -1: at least one has a fault, and the tree is not to be decoded. */
MUST_CHECK int conf_variables_fill(struct conf_tree *tree, struct conf_faults *faults);
