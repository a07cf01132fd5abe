/* proxy/record.h: what is left of an exchange or a tunnel: flight record, metrics, access-log line. */
#pragma once

#include "proxy/exchange.h"

/* Called once, when it has ended; x->record.end is set. */
void record_exchange(struct exchange *x);
/* For a tcp tunnel. */
void record_tunnel(struct worker *w, struct listener_worker *lw, const struct roster *roster,
                   struct flight_record *r, uint64_t connection_id);
