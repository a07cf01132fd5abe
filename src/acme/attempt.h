/* acme/attempt.h: one attempt to have a certificate: an order driven to its end, over the network and the folder, on a thread that
 * may wait. The folder is held locked by the caller. */
#pragma once

#include "acme/acme_conf.h"
#include "acme/folder.h"
#include "tls/tls_conf.h"

struct acme_fetcher;

struct acme_attempt {
    struct acme_folder *folder;
    struct acme_fetcher *fetcher;
    const struct acme_conf *conf;
    const struct tls_certificate_conf *certificate;
    /* Waits until then, of the monotonic clock; false: nobody wants it any more. */
    bool (*wait)(void *context, uint64_t until_ms);
    /* What the folder shows is to be shown by this process, too. -1: it is not. */
    int (*refresh)(void *context, struct err *err);
    void *context;
    /* Filled in. */
    struct err err;
    uint64_t retry_after_s;
    bool is_made; /* the CA has an order of it */
    bool
        is_uncounted; /* nothing came of it that the CA counts: it is out of order, or something is lacking here */
};

/* 0: its file is there. */
MUST_CHECK int acme_attempt_run(struct acme_attempt *a);
const char *acme_key_kind_name(uint32_t kind);
/* Of the configured names none is missing in it. */
struct tls_certificate;
bool acme_has_names(const struct tls_certificate *c, const struct conf_items *names);
