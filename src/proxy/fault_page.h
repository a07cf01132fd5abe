/* proxy/fault_page.h: whether a fault is told on a page of the configuration's, and what stands on it. */
#pragma once

#include "proxy/exchange.h"
#include "route/page.h"

/* Of the maintenance that it is refused for, of the route's `errors`, of the listener's; NULL: none. */
const struct page *fault_page(const struct exchange *x, uint16_t status, bool wants_json);
/* Whether a server's answer of that status has to give way to a page (errors: {intercept}). */
bool fault_page_replaces(const struct exchange *x, uint16_t status);
/* Filled in, in x->arena. `sentence`: what weir would say. `tells_names`: whether those outside may know them. -1: out of memory. */
MUST_CHECK int fault_page_fill(struct exchange *x, const struct page *page, uint16_t status,
                               struct slice sentence, bool tells_names, struct slice *body);
