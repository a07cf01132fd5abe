#include "tls/trust.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/list.h"
#include "tls/small_file.h"

struct tls_trust {
    struct list link; /* of all */
    uint32_t refs;    /* under the lock */
    X509_STORE *store;
    unsigned char digest[TLS_TRUST_DIGEST_BYTES];
};

/* Of the process: held while a configuration is read or let go of, never by a worker that serves. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list all;

/* Where systems have theirs; the first that is there. */
static const char *system_path(void)
{
    static const char *const paths[] = { "/etc/ssl/certs/ca-certificates.crt",
                                         "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
                                         "/etc/ssl/cert.pem" };
    const char *named = getenv(X509_get_default_cert_file_env());
    if (named) return named;
    for (size_t i = 0; i < sizeof(paths) / sizeof(*paths); i++)
        if (access(paths[i], R_OK) == 0) return paths[i];
    return X509_get_default_cert_file();
}

static struct tls_trust *find(const unsigned char digest[TLS_TRUST_DIGEST_BYTES])
{
    if (!all.next) list_init(&all);
    for (struct list *at = all.next; at != &all; at = at->next) {
        struct tls_trust *t = container_of(at, struct tls_trust, link);
        if (memcmp(t->digest, digest, TLS_TRUST_DIGEST_BYTES) == 0) return t;
    }
    return NULL;
}

/* How many; -1: one is malformed. */
static int add_certificates(X509_STORE *store, const struct small_file *file)
{
    BIO *bio = BIO_new_mem_buf(file->text, (int)file->len);
    int count = 0;
    X509 *x;
    ERR_clear_error();
    while (bio && (x = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
        count += X509_STORE_add_cert(store, x);
        X509_free(x);
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) count = -1;
    ERR_clear_error();
    BIO_free(bio);
    return count;
}

static int make(struct tls_trust **out, const struct small_file *file, const char *path, struct err *err)
{
    struct tls_trust *t = calloc(1, sizeof(*t));
    if (t) t->store = X509_STORE_new();
    int count = t && t->store ? add_certificates(t->store, file) : 0;
    if (count > 0) {
        /* What the operator trusts is trusted, also where it is no root: it need not lead further. */
        X509_STORE_set_flags(t->store, X509_V_FLAG_PARTIAL_CHAIN);
        t->refs = 1;
        *out = t;
        return 0;
    }
    if (t) X509_STORE_free(t->store);
    free(t);
    if (count < 0) return err_set(err, "%s has a certificate that cannot be read", path);
    return err_set(err, "%s has no certificate; it should have those of the CAs that sign servers', as PEM",
                   path);
}

int tls_trust_read(struct tls_trust **out, const char *path, struct err *err)
{
    struct file_stamp stamp;
    struct small_file file;
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t len = 0;
    if (!path) path = system_path();
    if (small_file_read(&file, path, &stamp, err) < 0) return -1;
    if (EVP_Q_digest(NULL, "SHA256", NULL, file.text, file.len, digest, &len) != 1) {
        small_file_wipe(&file);
        return err_set(err, "out of memory for %s", path);
    }
    pthread_mutex_lock(&lock);
    struct tls_trust *t = find(digest);
    int result = 0;
    if (t) {
        t->refs++;
    } else if ((result = make(&t, &file, path, err)) == 0) {
        memcpy(t->digest, digest, sizeof(t->digest));
        list_push_back(&all, &t->link);
    }
    pthread_mutex_unlock(&lock);
    small_file_wipe(&file);
    *out = t;
    return result;
}

void tls_trust_put(struct tls_trust *t)
{
    if (!t) return;
    pthread_mutex_lock(&lock);
    bool is_last = !bug_if(TLS, !t->refs) && --t->refs == 0;
    if (is_last) list_remove(&t->link);
    pthread_mutex_unlock(&lock);
    if (!is_last) return;
    X509_STORE_free(t->store);
    free(t);
}

X509_STORE *tls_trust_store(const struct tls_trust *t)
{
    return t->store;
}

const unsigned char *tls_trust_digest(const struct tls_trust *t)
{
    return t->digest;
}
