#include "acme/attempt.h"

#include <openssl/crypto.h>
#include <string.h>

#include "acme/fetch.h"
#include "acme/order.h"
#include "base/clock.h"
#include "tls/certificate.h"

/* Other nodes look once a second for what they are to show. */
#define SETTLE_MS 2500u
/* An order as a whole. */
#define LIMIT_MS (10u * 60 * 1000)
/* What it issues may begin so much later: clocks differ. */
#define EARLY_MAX_S 600

const char *acme_key_kind_name(uint32_t kind)
{
    return kind == ACME_KEY_RSA ? "rsa" : "ecdsa";
}

static bool has_name(const struct tls_certificate *c, const char *name)
{
    const char *at = c->names;
    for (uint32_t i = 0; i < c->name_count; i++, at += strlen(at) + 1)
        if (strcmp(at, name) == 0) return true;
    return false;
}

bool acme_has_names(const struct tls_certificate *c, const struct conf_items *names)
{
    const char *const *wanted = names->data;
    for (uint32_t i = 0; i < names->count; i++)
        if (!has_name(c, wanted[i])) return false;
    return true;
}

static const char *first_name(const struct acme_attempt *a)
{
    return *(const char *const *)a->certificate->acme.data;
}

/* proofs */

static struct tls_challenge challenge_of(const struct acme_attempt *a, const struct acme_proof *p)
{
    return (struct tls_challenge){ .is_tls = a->conf->challenge == ACME_TLS_ALPN_01,
                                   .name = p->name,
                                   .token = p->token,
                                   .authorization = p->authorization };
}

static int show(struct acme_attempt *a, const struct acme_order *o)
{
    for (uint32_t i = 0; i < o->proof_count; i++) {
        const struct tls_challenge c = challenge_of(a, &o->proofs[i]);
        if (acme_folder_show(a->folder, &c, &a->err) < 0) return -1;
    }
    return a->refresh(a->context, &a->err);
}

static void unshow(struct acme_attempt *a, const struct acme_order *o)
{
    for (uint32_t i = 0; i < o->proof_count; i++) acme_folder_unshow(a->folder, o->proofs[i].token);
    struct err later;
    int result = o->proof_count ? a->refresh(a->context, &later) : 0;
    (void)result; /* the next look at the folder does it */
}

/* the order */

static uint64_t now_ms(void)
{
    return clock_now_ns() / NS_PER_MS;
}

static void ask(struct acme_attempt *a, struct acme_order *o)
{
    struct acme_response response;
    struct err err;
    if (acme_fetch(a->fetcher, &o->request, &response, &err) < 0)
        acme_order_unanswered(o, err.text, now_ms());
    else
        acme_order_take(o, &response, now_ms());
}

static int drive(struct acme_attempt *a, struct acme_order *o)
{
    for (;;) {
        switch (acme_order_want(o, now_ms())) {
        case ACME_WANT_ANSWER: ask(a, o); break;
        case ACME_WANT_TIME:
            if (!a->wait(a->context, o->until_ms)) return err_set(&a->err, "weir stops");
            break;
        case ACME_WANT_PROOFS:
            if (show(a, o) < 0) {
                a->is_uncounted = true;
                return -1;
            }
            acme_order_shown(o, now_ms());
            break;
        case ACME_WANT_NOTHING:
            a->err = o->err;
            a->is_uncounted = o->is_unheard;
            return o->chain ? 0 : -1;
        }
    }
}

/* What a CA issues is looked at as a file of anybody's is: the key is its, the chain is whole, the names are there. */
static int check(struct acme_attempt *a, const char *staged)
{
    struct file_stamp stamps[TLS_CERTIFICATE_FILES];
    struct tls_certificate *c = NULL;
    if (tls_certificate_read(&c, staged, staged, stamps, &a->err) < 0)
        return err_prefix(&a->err, "what the CA issued is refused");
    bool is_whole = acme_has_names(c, &a->certificate->acme);
    int64_t now_s = (int64_t)(clock_wall_ns() / NS_PER_S), early_s = c->not_before - now_s;
    bool is_over = tls_certificate_age(c, now_s) == TLS_AGE_EXPIRED;
    tls_certificate_put(c);
    if (!is_whole) return err_set(&a->err, "what the CA issued lacks names that were ordered");
    if (is_over) return err_set(&a->err, "what the CA issued has expired; is this host's clock right?");
    if (early_s > EARLY_MAX_S)
        return err_set(&a->err, "what the CA issued is valid in %lld s only; is this host's clock right?",
                       (long long)early_s);
    /* Its clock is a little ahead: what is served meanwhile is better than what no client takes yet. */
    if (early_s > 0 && !a->wait(a->context, now_ms() + (uint64_t)early_s * 1000))
        return err_set(&a->err, "weir stops");
    return 0;
}

static int keep(struct acme_attempt *a, const struct acme_order *o, EVP_PKEY *key)
{
    char staged[ACME_PATH_ROOM];
    size_t len = 0;
    char *pem = acme_key_print(key, &len);
    if (!pem) return err_set(&a->err, "out of memory for a key");
    int result = acme_folder_stage(a->folder, (struct slice){ pem, len },
                                   (struct slice){ o->chain, o->chain_len }, staged, &a->err);
    OPENSSL_clear_free(pem, len + 1);
    if (result < 0) return -1;
    if (check(a, staged) < 0) {
        acme_folder_unstage(staged);
        return -1;
    }
    return acme_folder_publish(a->folder, staged, first_name(a), acme_key_kind_name(a->conf->key), &a->err);
}

static int order(struct acme_attempt *a, EVP_PKEY *account, EVP_PKEY *key, struct slice csr)
{
    const struct acme_binding_conf *binding = a->conf->binding;
    const struct acme_order_setup setup = { .directory = a->conf->directory,
                                            .email = a->conf->email,
                                            .kid = binding ? binding->kid : NULL,
                                            .hmac_key = binding ? binding->key : SLICE_NONE,
                                            .account = account,
                                            .csr = csr,
                                            .names = a->certificate->acme.data,
                                            .name_count = a->certificate->acme.count,
                                            .challenge = (enum acme_challenge)a->conf->challenge,
                                            .settle_ms = SETTLE_MS,
                                            .limit_ms = LIMIT_MS };
    struct acme_order *o = acme_order_new(&setup, now_ms());
    if (!o) return err_set(&a->err, "there is no memory for an order");
    a->is_uncounted = false;
    int result = drive(a, o);
    unshow(a, o);
    if (result == 0) result = keep(a, o, key);
    a->retry_after_s = o->retry_after_s;
    a->is_made = o->is_made;
    acme_order_free(o);
    return result;
}

int acme_attempt_run(struct acme_attempt *a)
{
    size_t len = 0;
    a->is_uncounted = true; /* until something is asked */
    EVP_PKEY *account = acme_folder_account(a->folder, a->conf->directory, &a->err);
    if (!account) return -1;
    EVP_PKEY *key = acme_key_new((enum acme_key_kind)a->conf->key);
    unsigned char *csr = key ? acme_csr_new(key, a->certificate->acme.data, a->certificate->acme.count, &len)
                             : NULL;
    int result = csr ? order(a, account, key, (struct slice){ (const char *)csr, len })
                     : err_set(&a->err, "no key can be made for the certificate");
    OPENSSL_free(csr);
    EVP_PKEY_free(key);
    EVP_PKEY_free(account);
    return result;
}
