/* Our end of a TLS connection, and a client that is OpenSSL's own, over memory: what lies between is the test's to carry. */
#pragma once

#include "tls/conn.h"
#include "tls/pki.h"

#define TURNS_MAX 200000

struct pair {
    struct transport near;
    int far; /* the test's end of our socket */
    SSL *client;
    BIO *to_client, *from_client;
    unsigned calls;
    size_t carry_max;      /* so many bytes at a time, both ways; 0: all */
    size_t to_near, limit; /* carried so far to our end; no more than the limit */
    int client_error;      /* the first that the client met */
};

/* Of the test that is running: a loop, its worker, and certificates for a.example. */
extern struct loop loop;
extern struct tls_worker worker;
extern struct tls_conf conf;
extern struct tls_slot *slot;

int pair_set_up(void **state);
int pair_tear_down(void **state);
SSL_CTX *pair_client_context(void);
/* Of a server that shows this certificate. */
SSL_CTX *pair_server_context(const char *file);
void pair_on_near(struct transport *t);
void pair_on_fault(void *context, const struct tls_store_fault *fault);
void pair_open(struct pair *p, SSL_CTX *ctx, const char *alpn);
/* Likewise, with our end as the client's, whom the other, a server with certificates for a.example, is to convince. */
void pair_open_towards(struct pair *p, SSL_CTX *ctx, const struct tls_target *to);
void pair_close(struct pair *p);
/* Carries bytes, as many as may go at a time; false: nothing moved. */
bool pair_carry(struct pair *p);
/* Both ends' handshake as far as it goes. */
enum io pair_shake(struct pair *p);
void pair_shake_well(struct pair *p);
/* What waits to be read there. */
size_t pair_waiting_at(int fd);
