/* control/address_check.h: who of a configuration listens where: two cannot at one address, and a server that is weir itself is hardly
 * meant. Control side. */
#pragma once

#include "conf/decode.h"
#include "proxy/proxy_conf.h"

struct admin_conf;
struct logs_conf;

/* All are decoded from `root`, perhaps with faults: what they left empty is passed over. logs, admin: NULL if there are none. */
void address_check(struct conf_decode *d, const struct conf_node *root, const struct proxy_conf *proxy,
                   const struct logs_conf *logs, const struct admin_conf *admin);
