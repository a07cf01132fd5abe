/* admin/guard.h: who may use the API. With tokens, whoever shows one, or has signed in with one; each may do what its role
 * may. Without any, whoever can reach the loopback address or the unix socket, but no web page that a browser on this machine
 * has open: the Host must be ours (else a page could rebind its own name to 127.0.0.1). In every case what a browser sends
 * for a page of another site is refused, since it brings the browser's own place in the network, the password that it keeps
 * and its cookie; only a link that somebody follows may lead here, to what has no effect. Control thread. */
#pragma once

#include "admin/admin_conf.h"
#include "admin/session.h"
#include "base/address.h"
#include "base/err.h"
#include "http/message.h"

/* What a page of ours sends with what it changes, and no page of another site can (WHATWG Fetch, 4.8: it would have to ask
 * first, and nobody is invited). */
#define GUARD_PAGE_FIELD "x-weir-page"

struct guard {
    const struct admin_conf *conf; /* borrowed; NULL: no tokens */
    struct sessions *sessions;     /* borrowed; NULL: nobody can sign in */
    struct address bind;           /* as bound, with the port that the kernel chose */
};

enum guard_by { GUARD_BY_NOTHING, GUARD_BY_TOKEN, GUARD_BY_SESSION };
/* "nothing", "token", "session" */
const char *guard_by_name(enum guard_by by);

/* Who asks. */
struct guard_who {
    char name[SESSION_NAME_MAX + 1]; /* of his token; empty: he showed none */
    uint8_t role;                    /* enum admin_role */
    uint8_t by;                      /* enum guard_by */
    bool is_over_tls;                /* his page says that it came over TLS */
    uint64_t session;                /* the number of his; 0: none. It may have ended meanwhile */
};

struct guard_ask {
    const struct http_head *head;
    enum admin_role needs;
    bool has_effect; /* it is more than looking, whatever the method */
    uint64_t now_ms;
};

/* 0, or the status to refuse with: 401 or 403, and a sentence. Fills in *who as far as it is known also then. */
uint16_t guard_check(const struct guard *g, const struct guard_ask *ask, struct guard_who *who,
                     struct err *err);
/* The token with that text; false: there is none. Takes as long whichever it is. */
bool guard_find_token(const struct guard *g, struct slice given, struct admin_token *out);
/* A script asks, so that nobody is there to whom a browser should show its question for a password. */
bool guard_is_script(const struct http_head *head);
