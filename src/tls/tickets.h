/* tls/tickets.h: the keys of session tickets (RFC 5077, RFC 8446 4.6.1). Made here and changed every few hours, or those of
 * a file, which several nodes may have. Any thread. */
#pragma once

#include <openssl/evp.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/small_file.h"

#define TLS_TICKET_NAME_BYTES 16
/* A new key every so often; it opens tickets for two more such times. */
#define TLS_TICKET_KEY_S (6 * 3600)
/* So long a session may be resumed: no key is forgotten before. */
#define TLS_TICKET_LIFE_S (2 * TLS_TICKET_KEY_S)

struct tls_tickets;

MUST_CHECK int tls_tickets_new(struct tls_tickets **out, struct err *err);
/* Keys of 80 bytes each, one after another: a name of 16, for HMAC 32, for AES 32. The first seals, all open. */
MUST_CHECK int tls_tickets_read(struct tls_tickets **out, const char *path, struct file_stamp *stamp,
                                struct err *err);
/* One more reference, and one less; NULL is fine, for both. */
struct tls_tickets *tls_tickets_get(struct tls_tickets *t);
void tls_tickets_put(struct tls_tickets *t);

/* What SSL_CTX_set_tlsext_ticket_key_evp_cb wants: 1; 2: opened, and to be renewed; 0: no key of that name; -1. */
int tls_tickets_seal(struct tls_tickets *t, int64_t now_s, unsigned char *name, unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);
int tls_tickets_open(struct tls_tickets *t, int64_t now_s, const unsigned char *name, const unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac);
