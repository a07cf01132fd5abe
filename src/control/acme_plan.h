/* control/acme_plan.h: what the configuration in force wants of a CA, each certificate once however many listeners have it. */
#pragma once

#include "acme/keeper.h"
#include "control/config.h"

/* From now on the keeper goes by it. */
MUST_CHECK bool acme_plan_use(struct acme_keeper *k, const struct config *config);
/* Where what is issued is kept; NULL: it was not said. */
const char *acme_plan_folder(const struct config *config, char out[4096]);
