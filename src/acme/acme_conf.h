/* acme/acme_conf.h: `acme:`, the CA that issues what listeners have no files for, as decoded. */
#pragma once

#include "acme/order.h"
#include "acme/request.h"
#include "conf/field.h"

/* `binding: {kid: …, hmac: …}` */
struct acme_binding_conf {
    const char *kid;
    const char *hmac; /* as the CA gave it: base64 */
    struct slice key; /* its bytes; secret */
};

struct acme_conf {
    const char *directory;
    const char *email; /* NULL: the CA is told none */
    bool terms_agreed;
    uint32_t challenge; /* enum acme_challenge */
    uint32_t key;       /* enum acme_key_kind */
    const char *ca;     /* of a CA that the host does not trust; NULL: it does */
    const char *folder; /* NULL: in that of `state:` */
    uint64_t retry_ms;
    struct acme_binding_conf *binding; /* NULL: an account needs no other */
};

extern const struct conf_type acme_conf_type;
