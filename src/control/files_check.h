/* control/files_check.h: whether folders that routes answer from are there, and can be read by whoever checks. Control side. */
#pragma once

#include "conf/decode.h"
#include "control/config.h"

/* Notes, not faults: a folder may be made, or mounted, after weir has started. */
void files_check(struct conf_decode *d, const struct conf_node *root, const struct config *c);
