/* tls/store.h: the certificates of one listener, and what is served with them: found by the name that a client asks for, in
 * one or two looks at a table, however many they are. Made by one thread, immutable afterwards but for what is made at
 * first use; any thread may ask. Counted: the configuration has a reference, and each handshake that is going on. */
#pragma once

#include "tls/certificate.h"
#include "tls/tls_conf.h"

/* What a name leads to: one of each kind of key at most, NULL where there is none. */
struct tls_choice {
    struct tls_certificate *by_kind[TLS_KEY_KINDS];
};

struct tls_store;

/* A mistake: of which certificate, counted from 0. */
struct tls_store_fault {
    uint32_t certificate;
    bool is_certificate; /* else of what is besides */
    const char *key;     /* the row */
    struct err err;
};

struct tls_store_asked {
    int64_t now_s;                                                   /* seconds since 1970 */
    bool reads_all;                                                  /* also what looks as it was */
    void (*on_fault)(void *context, const struct tls_store_fault *); /* as often as there are mistakes */
    void *context;
};

/* Reads all of it; NULL where something is wrong. One reference is the caller's. */
struct tls_store *tls_store_new(const struct tls_conf *conf, const struct tls_store_asked *asked);
/* What takes the place of `before`, which was made of the same `conf`: read is what has changed. What has a mistake stays as it
 * is in `before`, each certificate by itself, and so does one that is valid now where the new one is not. NULL: there is no memory,
 * which is told as a fault of the whole. */
struct tls_store *tls_store_renew(struct tls_store *before, const struct tls_conf *conf,
                                  const struct tls_store_asked *asked);
/* With this one alone, which is taken, and no context of its own. NULL: there is no memory. */
struct tls_store *tls_store_of(struct tls_certificate *c);
/* Of all its files as they were read, those with a mistake as well, and as they are now: where the two are equal, reading again
 * makes nothing new. 0, of what is read: it was so young that it has to be read again; as they are now: there is no memory to
 * tell. */
uint64_t tls_store_stamp(const struct tls_store *s);
uint64_t tls_conf_stamp(const struct tls_conf *conf);
/* Seconds since 1970: when what had nothing but its time against it has come into that, and is to be read again although its
 * file is as it was. 0: there is none. */
int64_t tls_store_again(const struct tls_store *s);
/* NULL for one that is not configured. */
void tls_conf_each_file(const struct tls_conf *conf, void (*each)(void *context, const char *path),
                        void *context);
struct tls_store *tls_store_get(struct tls_store *s);
void tls_store_put(struct tls_store *s); /* NULL is fine */

/* NULL: no certificate has that name. No name: the first certificates of each kind. A name as it came, in any case. */
const struct tls_choice *tls_store_find(const struct tls_store *s, struct slice name);
uint32_t tls_store_count(const struct tls_store *s);
/* NULL: it is one that a CA is still to issue (`acme:`), and nobody has its names until then. */
const struct tls_certificate *tls_store_certificate(const struct tls_store *s, uint32_t n);
/* What connections are made of; borrowed. */
SSL_CTX *tls_store_context(const struct tls_store *s);
/* A name that no certificate has is served with the first. */
bool tls_store_serves_unknown(const struct tls_store *s);
/* The keys of a file; NULL: the process's are used. */
struct tls_tickets *tls_store_tickets(const struct tls_store *s);

/* The place of a configuration where its store is: another may come there, while handshakes go on with the one that they
 * began with. */
struct tls_slot;
/* The reference is taken. NULL: there is no memory, and it is not. */
struct tls_slot *tls_slot_new(struct tls_store *store);
void tls_slot_free(struct tls_slot *slot);
/* A reference of the caller's. Any thread. */
struct tls_store *tls_slot_get(struct tls_slot *slot);
/* `store`, a reference that is taken, is served from now on. Any thread. */
void tls_slot_set(struct tls_slot *slot, struct tls_store *store);
