/* control/acme_list.h: what became of certificates that a CA issues, as the API shows it. */
#pragma once

#include "acme/keeper.h"
#include "admin/certifier.h"

void acme_list_print(struct acme_keeper *k, struct answer *out);
