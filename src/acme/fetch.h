/* acme/fetch.h: requests to a CA, by tls/https.h. One thread, which waits for the answer, but for acme_fetcher_stop(). */
#pragma once

#include "acme/order.h"

struct acme_fetcher;

/* ca: a file that verifies the CA's address in place of what the host trusts; NULL: the host does. */
MUST_CHECK int acme_fetcher_new(struct acme_fetcher **out, const char *ca, struct err *err);
void acme_fetcher_free(struct acme_fetcher *f); /* NULL is fine */
/* What came lives until the next request. -1: no answer came, for a reason in words. Nobody is followed elsewhere. */
MUST_CHECK int acme_fetch(struct acme_fetcher *f, const struct acme_request *rq, struct acme_response *out,
                          struct err *err);
/* From now on nothing is asked, and what is under way ends at once. Any thread. */
void acme_fetcher_stop(struct acme_fetcher *f);
