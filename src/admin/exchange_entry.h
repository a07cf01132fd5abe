/* admin/exchange_entry.h: a flight record as an entry of a log, so that the filters which people write for logs take exchanges
 * as well. */
#pragma once

#include "logs/filter.h"
#include "proxy/proxy.h"

struct flight_record;

struct exchange_entry {
    struct log_entry entry;
    char client[INET6_ADDRSTRLEN];
};

/* The values are the record's, the entry's own and the process's names. */
void exchange_entry_make(struct exchange_entry *out, const struct proxy *p, const struct flight_record *r);
/* Gives the filter's names their seats. A name of it that exchanges never say; empty: there is none. */
struct slice exchange_entry_bind(struct filter *f);
