/* tls/profile.h: versions, ciphers and groups, the same towards clients and towards servers. */
#pragma once

#include <openssl/ssl.h>

#include "conf/field.h"

enum tls_profile { TLS_INTERMEDIATE, TLS_MODERN };

extern const struct conf_type tls_profile_type;

MUST_CHECK bool tls_profile_set(SSL_CTX *ctx, enum tls_profile profile);
