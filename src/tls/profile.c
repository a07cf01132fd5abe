#include "tls/profile.h"

/* Mozilla's "intermediate", without finite-field Diffie-Hellman, whose only users are gone: forward secrecy and
 * authenticated encryption throughout. What TLS 1.3 has needs no choosing. */
#define CIPHERS                                                                                \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" \
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define GROUPS "X25519:P-256:P-384"

static const char *const names[] = { "intermediate", "modern", NULL };
const struct conf_type tls_profile_type = { .name = "profile", .names = names };

bool tls_profile_set(SSL_CTX *ctx, enum tls_profile profile)
{
    /* No renegotiation: it is a way to make one connection cost as much as thousands. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return SSL_CTX_set_min_proto_version(ctx, profile == TLS_MODERN ? TLS1_3_VERSION : TLS1_2_VERSION) &&
           SSL_CTX_set_cipher_list(ctx, CIPHERS) && SSL_CTX_set1_groups_list(ctx, GROUPS);
}
