/* tls/server_context.h: what a server's connections have in common, by its configuration. */
#pragma once

#include "tls/store.h"

/* ca: what the file of `client:` has in it. *key: the row that is at fault. */
MUST_CHECK int tls_server_context_new(SSL_CTX **out, const struct tls_conf *conf, const struct small_file *ca,
                                      const char **key, struct err *err);
