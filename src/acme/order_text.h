/* acme/order_text.h: what is said to a CA within an order (RFC 8555 7.3 to 7.5): the payloads, before they are signed. All are
 * terminated, the caller's to free; NULL: out of memory. */
#pragma once

#include "acme/order.h"

/* url: of newAccount. */
char *acme_account_text(const struct acme_order_setup *setup, const char *url, size_t *len);
char *acme_identifiers_text(const struct acme_order_setup *setup, size_t *len);
char *acme_finalize_text(struct slice csr, size_t *len);
