/* control/certificate_list.h: the certificates that are served, as the API shows them: each once, with the listeners that have
 * it. Control thread. */
#pragma once

#include "admin/certifier.h"
#include "control/certificate_look.h"

void certificate_list(const struct certificate_seat *seats, uint32_t count, int64_t now_s,
                      struct answer *out);
