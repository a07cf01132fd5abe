/* admin/guard.h: who may use the API. With a token, whoever shows it. Without one, whoever can reach the
 * loopback address or the unix socket, but no web page that a browser on this machine has open: the Host
 * must be ours (else a page could rebind its own name to 127.0.0.1), and a write must not come from a
 * foreign Origin. */
#pragma once

#include "base/address.h"
#include "base/err.h"
#include "http/message.h"

struct guard {
    const char *token;   /* borrowed; NULL: none */
    struct address bind; /* as bound, with the port that the kernel chose */
};

/* 0, or the status to refuse with: 401 or 403, and a sentence. */
uint16_t guard_check(const struct guard *g, const struct http_head *head, struct err *err);
/* Takes as long whatever is given: how much of it is right does not show. */
bool guard_is_token(const char *token, struct slice given);
