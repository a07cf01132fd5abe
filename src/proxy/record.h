/* proxy/record.h: what is left of an exchange or a tunnel: flight record, metrics, access-log line. */
#pragma once

#include "proxy/exchange.h"

/* Called once, when it has ended; x->record.end is set. */
void record_exchange(struct exchange *x);
/* Where it went. */
struct record_places {
    const struct pool *pool;
    const struct roster *roster;  /* NULL: it has let go of it */
    const char *const *addresses; /* FLIGHT_ATTEMPTS of them, for then */
};
/* For a tcp tunnel. */
void record_tunnel(struct worker *w, struct listener_worker *lw, const struct record_places *places,
                   struct flight_record *r, uint64_t connection_id, const struct tls_facts *tls);
