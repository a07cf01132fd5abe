/* admin/guard.h: who may use the API. With a token, whoever shows it. Without one, whoever can reach the
 * loopback address or the unix socket, but no web page that a browser on this machine has open: the Host
 * must be ours (else a page could rebind its own name to 127.0.0.1). With or without: what a browser sends for a page of
 * another site is refused, since it brings the browser's own place in the network and the password that it keeps; only
 * a link that somebody follows may lead here, to what has no effect. */
#pragma once

#include "base/address.h"
#include "base/err.h"
#include "http/message.h"

struct guard {
    const char *token;   /* borrowed; NULL: none */
    struct address bind; /* as bound, with the port that the kernel chose */
};

/* 0, or the status to refuse with: 401 or 403, and a sentence. `has_effect`: it is more than looking, whatever the
 * method. */
uint16_t guard_check(const struct guard *g, const struct http_head *head, bool has_effect, struct err *err);
/* Takes as long whatever is given: how much of it is right does not show. */
bool guard_is_token(const char *token, struct slice given);
