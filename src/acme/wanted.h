/* acme/wanted.h: what a CA is to issue, and how it is asked for it, as one number: another one is another order, however good
 * what is there still is. Pure. */
#pragma once

#include "acme/acme_conf.h"

/* Of the directory, the challenge, the account's binding and the names in any order; never 0. */
uint64_t acme_wanted(const struct acme_conf *conf, const struct conf_items *names);
