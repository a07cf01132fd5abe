/* control/config_check.h: what can be seen only in the configuration as a whole: faults, and notes of what is correct and yet
 * hardly meant. Control side. */
#pragma once

#include "conf/decode.h"
#include "control/config.h"

/* `c` is decoded from `root`, perhaps with faults: what they left empty is passed over. */
void config_check(struct conf_decode *d, const struct conf_node *root, const struct config *c);
