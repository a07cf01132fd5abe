/* control/acme_check.h: what `acme:` of certificates needs of the rest of a configuration: a CA, a folder, a listener that the CA can
 * come to. Control side. */
#pragma once

#include "conf/decode.h"
#include "control/config.h"

/* Where nothing was wrong so far: says where each certificate is kept, and reads what is there. */
void acme_check(struct conf_decode *d, const struct conf_node *root, struct config *c);
