/* control/source_list.h: who is asked where servers are, as the API shows it. Control thread. */
#pragma once

#include "admin/answer.h"
#include "discovery/sources.h"
#include "proxy/proxy.h"

/* proxy NULL: no pool is shown. */
void source_list(const struct sources *sources, const struct proxy *proxy, uint64_t now_ms,
                 struct answer *out);
