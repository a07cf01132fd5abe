#include "acme/acme_conf.h"

#include <stdlib.h>
#include <string.h>

#include "acme/document.h"
#include "base/base64.h"
#include "conf/arena.h"
#include "conf/decode.h"
#include "conf/decoding.h"

#define PATH_BYTES_MAX 4000

static const char *const challenge_names[] = { "http-01", "tls-alpn-01", NULL };
static const struct conf_type challenge_type = { .name = "acme challenge", .names = challenge_names };
static const char *const key_names[] = { "ecdsa", "rsa", NULL };
static const struct conf_type key_type = { .name = "acme key", .names = key_names };

static void check_binding(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct acme_binding_conf *b = object;
    size_t room = strlen(b->hmac), len = 0;
    char *bytes = malloc(room + 1);
    if (!bytes) {
        conf_decode_set_short(d);
        return;
    }
    if (!base64_decode_pasted(slice_of(b->hmac), bytes, room, &len) || !len)
        conf_decode_fault(d, node, "hmac", "copy it as the CA shows it", "the key is no base64");
    else
        b->key = (struct slice){ conf_arena_copy_secret(d->arena, (struct slice){ bytes, len }), len };
    explicit_bzero(bytes, room + 1);
    free(bytes);
}

static const struct conf_field binding_fields[] = {
    { "kid", CONF_STRING(struct acme_binding_conf, kid), .min = 1, .max = 500, .flags = CONF_REQUIRED,
      .help = "The identifier that the CA gives for it." },
    { "hmac", CONF_STRING(struct acme_binding_conf, hmac), .min = 1, .max = 500,
      .flags = CONF_REQUIRED | CONF_SECRET, .help = "The key that the CA gives for it, in base64." },
    { 0 },
};
static const struct conf_type binding_type = { .name = "acme binding",
                                               .size = sizeof(struct acme_binding_conf),
                                               .fields = binding_fields,
                                               .check = check_binding };

static void check_acme(struct conf_decode *d, const struct conf_node *node, void *object)
{
    const struct acme_conf *c = object;
    if (!acme_is_url(c->directory))
        conf_decode_fault(d, node, "directory", "it looks like https://ca.example/directory",
                          "the CA's directory is no URL of https");
    if (!c->terms_agreed)
        conf_decode_fault(
            d, node, "terms_agreed",
            "read them (the CA's directory has their address under \"termsOfService\"), then write "
            "terms_agreed: true",
            "no CA issues anything before its terms of service are agreed to");
    if (c->email && (!strchr(c->email, '@') || strpbrk(c->email, " \t\r\n,;:?<>\"")))
        conf_decode_fault(d, node, "email", "write one like admin@example.org", "that is no address of mail");
}

static const struct conf_field acme_fields[] = {
    { "directory", CONF_STRING(struct acme_conf, directory), .min = 1, .max = 2000,
      .preset = "https://acme-v02.api.letsencrypt.org/directory",
      .help =
          "Where the CA's directory is (RFC 8555 7.1.1). The preset is Let's Encrypt's, where each mistake "
          "counts "
          "against its rate limits: try with https://acme-staging-v02.api.letsencrypt.org/directory first." },
    { "email", CONF_STRING(struct acme_conf, email), .min = 3, .max = 300,
      .help = "An address of mail that the CA is told, for what it has to say of the account." },
    { "terms_agreed", CONF_BOOL(struct acme_conf, terms_agreed), .preset = "false",
      .help =
          "You have read the CA's terms of service and agree to them: without it nothing is asked of it." },
    { "challenge", CONF_ENUM(struct acme_conf, challenge, &challenge_type), .preset = "http-01",
      .help =
          "How the CA sees that a name leads here: `http-01` by HTTP on port 80, `tls-alpn-01` within a TLS "
          "handshake on port 443." },
    { "key", CONF_ENUM(struct acme_conf, key, &key_type), .preset = "ecdsa",
      .help = "Of certificates: `ecdsa` is of P-256, `rsa` of 2048 bits, for clients from before 2010." },
    { "ca", CONF_STRING(struct acme_conf, ca), .min = 1, .max = PATH_BYTES_MAX,
      .help =
          "A PEM file with what the CA's own address is verified by, in place of what the host trusts: for a "
          "private CA." },
    { "folder", CONF_STRING(struct acme_conf, folder), .min = 1, .max = PATH_BYTES_MAX,
      .help = "Where the account, the certificates and their keys are; several weirs may share it, on one "
              "host or "
              "by a network's file system. Without it, `acme` within the folder of `state:`." },
    { "retry", CONF_MSEC(struct acme_conf, retry_ms), .preset = "5m", .min = 1000, .max = 86400000,
      .help =
          "So long after an order that failed comes the next; after each further one twice as long, up to a "
          "day. Let's Encrypt takes five failures an hour." },
    { "binding", CONF_OPTIONAL(struct acme_conf, binding, &binding_type),
      .help =
          "What a CA gives to those who have an account of another kind with it (external account binding), "
          "as ZeroSSL and Google do." },
    { 0 },
};

const struct conf_type acme_conf_type = {
    .name = "acme", .size = sizeof(struct acme_conf), .fields = acme_fields, .check = check_acme
};
