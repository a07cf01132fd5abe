#include "tls/tickets.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/refs.h"
#include "base/secret.h"

#define KEYS_MAX 8u
#define IV_BYTES 16

struct key {
    unsigned char name[TLS_TICKET_NAME_BYTES], hmac[32], aes[32];
};

struct tls_tickets {
    _Atomic uint32_t refs;
    pthread_mutex_t lock;
    struct secret_store *secrets;
    struct key *keys; /* in the secrets; the first seals */
    uint32_t count;
    bool rotates;
    int64_t made_s; /* the first one */
};

static struct tls_tickets *make(bool rotates)
{
    static const struct key none[KEYS_MAX];
    struct tls_tickets *t = calloc(1, sizeof(*t));
    if (!t) return NULL;
    atomic_init(&t->refs, 1);
    pthread_mutex_init(&t->lock, NULL);
    t->secrets = secret_store_new();
    struct slice zeroes = { (const char *)none, sizeof(none) };
    t->keys = (struct key *)(uintptr_t)secret_copy(t->secrets, zeroes);
    t->rotates = rotates;
    if (t->keys) return t;
    tls_tickets_put(t);
    return NULL;
}

int tls_tickets_new(struct tls_tickets **out, struct err *err)
{
    struct tls_tickets *t = make(true);
    if (!t) return err_set(err, "out of memory for ticket keys");
    *out = t;
    return 0;
}

int tls_tickets_read(struct tls_tickets **out, const char *path, struct file_stamp *stamp, struct err *err)
{
    struct small_file file;
    if (small_file_read(&file, path, stamp, err) < 0) return -1;
    size_t count = file.len / sizeof(struct key);
    bool is_good = count >= 1 && count <= KEYS_MAX && file.len % sizeof(struct key) == 0;
    struct tls_tickets *t = is_good ? make(false) : NULL;
    if (t) {
        t->count = (uint32_t)count;
        memcpy(t->keys, file.text, file.len);
    }
    small_file_wipe(&file);
    if (!is_good)
        return err_set(err,
                       "%s does not have 1 to %u keys of 80 bytes; make one with: openssl rand -out FILE 80",
                       path, KEYS_MAX);
    if (!t) return err_set(err, "out of memory for ticket keys");
    *out = t;
    return 0;
}

struct tls_tickets *tls_tickets_get(struct tls_tickets *t)
{
    if (t) refs_get(TLS, &t->refs);
    return t;
}

void tls_tickets_put(struct tls_tickets *t)
{
    if (!t || !refs_put(TLS, &t->refs)) return;
    pthread_mutex_destroy(&t->lock);
    secret_store_free(t->secrets);
    free(t);
}

/* Under the lock. False: no randomness. */
static bool rotate(struct tls_tickets *t, int64_t now_s)
{
    if (!t->rotates || (t->count && now_s - t->made_s < TLS_TICKET_KEY_S)) return true;
    struct key fresh;
    if (RAND_priv_bytes((unsigned char *)&fresh, sizeof(fresh)) != 1) return false;
    /* Nobody may have come for long: what is older than a ticket may be goes at once. */
    uint32_t kept = t->count && now_s - t->made_s < TLS_TICKET_KEY_S + TLS_TICKET_LIFE_S ? t->count : 0;
    if (kept > 2) kept = 2;
    memmove(&t->keys[1], &t->keys[0], kept * sizeof(fresh));
    t->keys[0] = fresh;
    t->count = kept + 1;
    t->made_s = now_s;
    explicit_bzero(&fresh, sizeof(fresh));
    explicit_bzero(&t->keys[t->count], (KEYS_MAX - t->count) * sizeof(fresh));
    return true;
}

static int set_mac(EVP_MAC_CTX *mac, struct key *key)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, sizeof(key->hmac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()
    };
    return EVP_MAC_CTX_set_params(mac, params);
}

int tls_tickets_seal(struct tls_tickets *t, int64_t now_s, unsigned char *name, unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    if (RAND_bytes(iv, IV_BYTES) != 1) return -1;
    pthread_mutex_lock(&t->lock);
    bool is_sealed = rotate(t, now_s) &&
                     EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, t->keys[0].aes, iv) == 1 &&
                     set_mac(mac, &t->keys[0]) == 1;
    memcpy(name, t->keys[0].name, TLS_TICKET_NAME_BYTES);
    pthread_mutex_unlock(&t->lock);
    return is_sealed ? 1 : -1;
}

int tls_tickets_open(struct tls_tickets *t, int64_t now_s, const unsigned char *name, const unsigned char *iv,
                     EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    int result = 0;
    pthread_mutex_lock(&t->lock);
    if (!rotate(t, now_s)) result = -1;
    for (uint32_t i = 0; result == 0 && i < t->count; i++) {
        struct key *key = &t->keys[i];
        if (memcmp(key->name, name, TLS_TICKET_NAME_BYTES) != 0) continue;
        bool is_set = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->aes, iv) == 1 &&
                      set_mac(mac, key) == 1;
        result = !is_set ? -1 : i == 0 ? 1 : 2;
    }
    pthread_mutex_unlock(&t->lock);
    return result;
}
