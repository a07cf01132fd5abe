/* conf/foreign_word.h: what other balancers (nginx, HAProxy, Envoy, Traefik, Caddy) call things that weir calls otherwise. Whoever
 * writes such a word has mistyped nothing: "did you mean" would not find what it is here. */
#pragma once

#include "base/slice.h"

/* What stands in place of the key `word` in objects of the type `type` (a conf_type's name), as a remedy: "here that is
 * `bind`". NULL: not known. The text is static. */
const char *conf_foreign_key(const char *type, struct slice word);

/* Likewise of a word that is a value of the key `field`. */
const char *conf_foreign_value(const char *field, struct slice word);
