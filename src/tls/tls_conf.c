#include "tls/tls_conf.h"

#include <ctype.h>
#include <stdio.h>

#include "base/clock.h"
#include "conf/arena.h"
#include "conf/decode.h"
#include "conf/decoding.h"
#include "tls/memory.h"
#include "tls/staple.h"
#include "tls/store.h"

#define CERTIFICATES_MAX 100000
#define PATH_BYTES_MAX 4000
/* Of a certificate that a CA issues: as many as CAs take. */
#define NAMES_MAX 100

#define PAIR_ROWS(flags_)                                                                                \
    { "cert",                                                                                            \
      CONF_STRING(struct tls_certificate_conf, cert),                                                    \
      .min = 1,                                                                                          \
      .max = PATH_BYTES_MAX,                                                                             \
      .flags = (flags_),                                                                                 \
      .help = "A PEM file with the certificate, and behind it what issued it, as far as clients do not " \
              "know it." },                                                                              \
    {                                                                                                    \
        "key", CONF_STRING(struct tls_certificate_conf, key),                                            \
            .min = 1, .max = PATH_BYTES_MAX, .flags = (flags_),                                          \
            .help = "A PEM file with its private key, not encrypted."                                    \
    }

/* What is shown to servers: they ask nobody of it within the handshake. */
static const struct conf_field pair_fields[] = { PAIR_ROWS(CONF_REQUIRED), { 0 } };
static const struct conf_field certificate_fields[] = {
    PAIR_ROWS(0),
    { "ocsp", CONF_STRING(struct tls_certificate_conf, ocsp), .min = 1, .max = PATH_BYTES_MAX,
      .help =
          "A file with what its issuer says of its revocation (an OCSP response, DER), which clients that "
          "ask for it are shown with the certificate. It is read anew when it changes, and not shown once it "
          "has expired." },
    { "acme", CONF_STRINGS(struct tls_certificate_conf, acme), .min = 1, .max = NAMES_MAX,
      .flags = CONF_OR_ONE,
      .help = "In place of `cert` and `key`: names that a CA issues it for, by ACME, as `acme:` beside the "
              "listeners says. It is renewed in time. Until it is issued for the first time, who asks for "
              "these names is refused with an alert." },
    { 0 },
};

const struct conf_type tls_certificate_conf_type = { .name = "certificate",
                                                     .size = sizeof(struct tls_certificate_conf),
                                                     .fields = pair_fields };

/* Host names as they are in DNS, with a dot: no CA issues for others (RFC 1123 2.1). */
static bool is_host(const char *name)
{
    size_t len = strlen(name), label = 0;
    bool has_dot = false, has_letter = false;
    for (size_t i = 0; i < len; i++) {
        bool is_edge = !label || i + 1 == len || name[i + 1] == '.';
        if (name[i] == '.') {
            if (!label) return false;
            has_dot = true;
            has_letter = false;
            label = 0;
            continue;
        }
        if (!isalnum((unsigned char)name[i]) && (name[i] != '-' || is_edge)) return false;
        has_letter |= isalpha((unsigned char)name[i]) != 0;
        if (++label > 63) return false;
    }
    return len <= 253 && has_dot && label && has_letter; /* else an address */
}

static void check_name(struct conf_decode *d, const struct conf_node *node, const char *name)
{
    if (strncmp(name, "*.", 2) == 0)
        conf_decode_fault(d, node, "acme", "name each host",
                          "\"%s\" is proven by DNS alone (dns-01), which weir does not do", name);
    else if (!is_host(name))
        conf_decode_fault(d, node, "acme", "write it like www.example.org",
                          "\"%s\" is no name of a host that a CA could issue a certificate for", name);
}

/* As the CA will have them; a name twice is one. */
static void fold_names(struct conf_decode *d, const struct conf_node *node, struct tls_certificate_conf *c)
{
    const char **names = c->acme.data;
    uint32_t count = 0;
    for (uint32_t i = 0; i < c->acme.count; i++) {
        char folded[254] = "";
        bool is_known = false;
        check_name(d, node, names[i]);
        for (size_t k = 0; names[i][k] && k < sizeof(folded) - 1; k++)
            folded[k] = (char)tolower((unsigned char)names[i][k]);
        for (uint32_t k = 0; k < count; k++) is_known |= strcmp(names[k], folded) == 0;
        if (!is_known) names[count++] = conf_arena_copy(d->arena, slice_of(folded));
    }
    c->acme.count = count;
}

static void check_certificate(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct tls_certificate_conf *c = object;
    if (c->acme.count && (c->cert || c->key || c->ocsp)) {
        conf_decode_fault(d, node, "acme", "write either `acme` or `cert` and `key`",
                          "a certificate that a CA issues has files of weir's own");
    } else if (c->acme.count) {
        fold_names(d, node, c);
    } else if (!c->cert || !c->key) {
        const char *missing = c->cert ? "key" : "cert";
        char remedy[32];
        snprintf(remedy, sizeof(remedy), "add \"%s\"", missing);
        conf_decode_fault(d, node, NULL, remedy, "listener certificate lacks \"%s\"", missing);
    }
}

const struct conf_type tls_server_certificate_type = { .name = "listener certificate",
                                                       .size = sizeof(struct tls_certificate_conf),
                                                       .fields = certificate_fields,
                                                       .name_from = "cert",
                                                       .or_name_from = "acme",
                                                       .check = check_certificate };

static const char *const wanted_names[] = { "require", "request", NULL };
static const struct conf_type wanted_type = { .name = "client certificate", .names = wanted_names };

static const struct conf_field client_fields[] = {
    { "ca", CONF_STRING(struct tls_client_conf, ca), .min = 1, .max = PATH_BYTES_MAX, .flags = CONF_REQUIRED,
      .help = "A PEM file with the certificates of those whose clients may come." },
    { "certificate", CONF_ENUM(struct tls_client_conf, certificate, &wanted_type), .preset = "require",
      .help = "`require` lets nobody in without a certificate, `request` checks one that is shown." },
    { 0 },
};

static const struct conf_type client_type = {
    .name = "tls client", .size = sizeof(struct tls_client_conf), .fields = client_fields, .short_form = "ca"
};

/* What lists of preloaded names ask for. */
#define PRELOAD_MS (UINT64_C(365) * 86400 * 1000)

static void check_hsts(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct tls_hsts_conf *hsts = object;
    char text[128];
    if (hsts->preload && (!hsts->subdomains || hsts->max_age_ms < PRELOAD_MS))
        conf_decode_fault(d, node, "preload",
                          "write {max_age: 365d, subdomains: true, preload: true}, or leave it out",
                          "names are preloaded for a year at least, and with all below them");
    int len = snprintf(text, sizeof(text), "max-age=%llu%s%s", (unsigned long long)(hsts->max_age_ms / 1000),
                       hsts->subdomains ? "; includeSubDomains" : "", hsts->preload ? "; preload" : "");
    hsts->value = conf_arena_copy(d->arena, (struct slice){ text, (size_t)len });
}

static const struct conf_field hsts_fields[] = {
    { "max_age", CONF_MSEC(struct tls_hsts_conf, max_age_ms), .max = INT64_C(3650) * 86400 * 1000,
      .flags = CONF_REQUIRED, .help = "For so long; 0s takes it back." },
    { "subdomains", CONF_BOOL(struct tls_hsts_conf, subdomains), .preset = "false",
      .help = "Also for all names below that of the request." },
    { "preload", CONF_BOOL(struct tls_hsts_conf, preload), .preset = "false",
      .help = "Browsers may have it built in: hard to take back." },
    { 0 },
};

static const struct conf_type hsts_type = { .name = "hsts",
                                            .size = sizeof(struct tls_hsts_conf),
                                            .fields = hsts_fields,
                                            .short_form = "max_age",
                                            .check = check_hsts };

static const char *const unknown_names[] = { "refuse", "first", NULL };
static const struct conf_type unknown_type = { .name = "unknown name", .names = unknown_names };

struct telling {
    struct conf_decode *d;
    const struct conf_node *node;
    uint64_t failures; /* tls_memory_failures() before it began */
};

static const struct conf_node *certificate_node(const struct conf_node *node, uint32_t n)
{
    const struct conf_node *list = conf_node_get(node, "certificates");
    const struct conf_node *at = list ? list->first_child : NULL;
    while (at && n--) at = at->next;
    return at ? at : node;
}

static void on_fault(void *context, const struct tls_store_fault *fault)
{
    const struct telling *t = context;
    const struct conf_node *at = fault->is_certificate ? certificate_node(t->node, fault->certificate)
                                                       : t->node;
    if (tls_memory_failures() != t->failures)
        conf_decode_set_short(t->d);
    else
        conf_decode_fault(t->d, at, fault->key, "", "%s", fault->err.text);
}

/* An expired one is served all the same: it is the clients' to refuse it, and weir must start again whatever the date. */
static void note_age(struct conf_decode *d, const struct conf_node *node, const struct tls_certificate *c,
                     const char *path)
{
    char from[16], until[16];
    int64_t now_s = (int64_t)(clock_wall_ns() / NS_PER_S);
    tls_date_print(c->not_before, from);
    tls_date_print(c->not_after, until);
    switch (tls_certificate_age(c, now_s)) {
    case TLS_AGE_GOOD: return;
    case TLS_AGE_ENDING:
        conf_decode_note(d, node, NULL, "renew it now", "the certificate in %.300s ends on %s", path, until);
        return;
    case TLS_AGE_EXPIRED:
        conf_decode_note(d, node, NULL, "renew it; until then clients refuse it",
                         "the certificate in %.300s expired on %s", path, until);
        return;
    case TLS_AGE_FUTURE:
        conf_decode_note(d, node, NULL, "look at the clock; until then clients refuse it",
                         "the certificate in %.300s is not valid before %s", path, from);
        return;
    }
}

static void drop_slot(void *slot)
{
    tls_slot_free(slot);
}

bool tls_conf_has_acme(const struct tls_conf *conf)
{
    const struct tls_certificate_conf *c = conf->certificates.data;
    for (uint32_t i = 0; i < conf->certificates.count; i++)
        if (c[i].acme.count) return true;
    return false;
}

void tls_conf_read(struct conf_decode *d, const struct conf_node *node, struct tls_conf *conf)
{
    struct telling telling = { d, node, tls_memory_failures() };
    const struct tls_certificate_conf *confs = conf->certificates.data;
    const struct tls_store_asked asked = { .now_s = (int64_t)(clock_wall_ns() / NS_PER_S),
                                           .reads_all = true,
                                           .on_fault = on_fault,
                                           .context = &telling };
    struct tls_store *store = tls_store_new(conf, &asked);
    if (!store) return;
    conf->slot = tls_slot_new(store);
    if (!conf->slot) {
        tls_store_put(store);
        conf_decode_set_short(d);
        return;
    }
    if (!conf_arena_own(d->arena, conf->slot, drop_slot)) {
        conf->slot = NULL;
        return;
    }
    for (uint32_t i = 0; i < tls_store_count(store); i++) {
        const struct tls_certificate *c = tls_store_certificate(store, i);
        const struct conf_node *at = certificate_node(node, i);
        const char *path = tls_certificate_conf_cert(&confs[i]);
        if (!c) continue;
        /* What is renewed by itself is nobody's to renew. */
        if (!confs[i].file || tls_certificate_age(c, asked.now_s) != TLS_AGE_ENDING) note_age(d, at, c, path);
        if (c->staple && c->staple->until <= asked.now_s)
            conf_decode_note(d, at, "ocsp", "fetch a new one; until then it is not shown",
                             "the OCSP response in %.300s has expired", confs[i].ocsp);
        if (!c->name_count)
            conf_decode_note(d, at, NULL, "have it made with subjectAltName",
                             "the certificate in %.300s has no DNS names, by which clients go", path);
    }
}

static void check_tls(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct tls_conf *conf = object;
    if (!tls_conf_has_acme(conf)) tls_conf_read(d, node, conf);
}

static const struct conf_field tls_fields[] = {
    { "certificates", CONF_LIST(struct tls_conf, certificates, &tls_server_certificate_type), .min = 1,
      .max = CERTIFICATES_MAX, .flags = CONF_REQUIRED,
      .help =
          "What is shown to clients, by the name that they ask for; to those that ask for none, the first. "
          "There may be one with an RSA key and one with an ECDSA key for the same name." },
    { "profile", CONF_ENUM(struct tls_conf, profile, &tls_profile_type), .preset = "intermediate",
      .help = "`intermediate` speaks TLS 1.2 and 1.3, `modern` TLS 1.3 alone." },
    { "unknown_name", CONF_ENUM(struct tls_conf, unknown_name, &unknown_type), .preset = "refuse",
      .help = "What becomes of a client that asks for a name that no certificate has: `refuse` ends the "
              "handshake with an alert that says so, `first` shows it the first certificate." },
    { "client", CONF_OPTIONAL(struct tls_conf, client, &client_type),
      .help = "Clients show certificates, too." },
    { "hsts", CONF_OPTIONAL(struct tls_conf, hsts, &hsts_type),
      .help =
          "Tells browsers to come by https alone, in every response (Strict-Transport-Security); in place of "
          "what servers say of it." },
    { "ticket_keys", CONF_STRING(struct tls_conf, ticket_keys), .min = 1, .max = PATH_BYTES_MAX,
      .help =
          "A file of keys for session tickets, 80 random bytes each, for several nodes to share: the first "
          "seals, all open. Without it weir makes its own, a new one every six hours." },
    { 0 },
};

const struct conf_type tls_conf_type = {
    .name = "tls", .size = sizeof(struct tls_conf), .fields = tls_fields, .check = check_tls
};
