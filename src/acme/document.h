/* acme/document.h: what a CA answers in JSON (RFC 8259), read: directories, accounts, orders, authorizations, problems. All of it
 * is a stranger's. Nothing here touches a file or the network. */
#pragma once

#include "base/text.h"
#include "conf/node.h"

struct acme_document {
    struct conf_tree tree;
    const struct conf_node *root; /* an object */
};

/* False: it is no object of JSON; then there is nothing to be closed. */
MUST_CHECK bool acme_document_read(struct acme_document *d, struct slice body);
void acme_document_close(struct acme_document *d);
/* A text, terminated, that is shown nowhere as it is; NULL: there is none, or it has a zero within. `map` may be NULL. */
const char *acme_document_text(const struct conf_node *map, const char *key);
/* A list's first element; NULL: it is no list. */
const struct conf_node *acme_document_list(const struct conf_node *map, const char *key);
const struct conf_node *acme_document_object(const struct conf_node *map, const char *key);
/* What a CA can be asked for: absolute, https, with a host, printable, at most 2,000 bytes. */
bool acme_is_url(const char *text);

/* A problem document (RFC 7807, RFC 8555 6.7) in words fit to be logged: "DETAIL (badNonce); example.org: DETAIL (dns)". */
void acme_problem_print(const struct conf_node *problem, struct text *out);
/* Its type is urn:ietf:params:acme:error:NAME. */
bool acme_problem_is(const struct conf_node *problem, const char *name);
