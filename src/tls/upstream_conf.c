#include "tls/upstream_conf.h"

#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "conf/arena.h"
#include "conf/decode.h"
#include "conf/decoding.h"
#include "tls/memory.h"
#include "tls/upstream.h"

#define NAME_BYTES_MAX 253
#define PATH_BYTES_MAX 4000

static const char *const verify_names[] = { "on", "off", NULL };
static const struct conf_type verify_type = { .name = "verify", .names = verify_names };

static bool is_host_name(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    return len && !name[len] && len <= NAME_BYTES_MAX && name[0] != '.' && name[len - 1] != '.' &&
           !strstr(name, "..");
}

static bool is_address(const char *name)
{
    struct ip ip;
    return ip_parse(slice_of(name), &ip);
}

bool tls_name_can_be_verified(const char *name)
{
    return is_address(name) || (is_host_name(name) && strchr(name, '.'));
}

static void drop(void *upstream)
{
    tls_upstream_put(upstream);
}

struct tls_upstream *tls_upstream_by_default(struct conf_arena *arena)
{
    const struct tls_upstream_conf conf = { .verify = TLS_VERIFY_ON };
    struct tls_upstream *u;
    const char *key;
    struct err err;
    if (tls_upstream_new(&u, &conf, &key, &err) < 0) return NULL;
    return conf_arena_own(arena, u, drop) ? u : NULL;
}

/* It does not keep weir from starting: whoever asks for it refuses it, and the others do not care. */
static void note_age(struct conf_decode *d, const struct conf_node *node, const struct tls_certificate *c,
                     const char *path)
{
    char date[16];
    enum tls_age age = tls_certificate_age(c, (int64_t)(clock_wall_ns() / NS_PER_S));
    tls_date_print(age == TLS_AGE_FUTURE ? c->not_before : c->not_after, date);
    if (age == TLS_AGE_ENDING)
        conf_decode_note(d, node, "certificate", "renew it now", "the certificate in %.300s ends on %s", path,
                         date);
    else if (age == TLS_AGE_EXPIRED)
        conf_decode_note(d, node, "certificate", "renew it; until then servers that ask for it refuse it",
                         "the certificate in %.300s expired on %s", path, date);
    else if (age == TLS_AGE_FUTURE)
        conf_decode_note(d, node, "certificate",
                         "look at the clock; until then servers that ask for it refuse it",
                         "the certificate in %.300s is not valid before %s", path, date);
}

static void note_verify(struct conf_decode *d, const struct conf_node *node,
                        const struct tls_upstream_conf *conf)
{
    if (conf->verify == TLS_VERIFY_ON) return;
    conf_decode_note(d, node, "verify", "give the servers' CA as `ca`, and leave `verify` out",
                     "servers are not verified: whoever is between can read and change everything");
    if (conf->ca)
        conf_decode_note(d, node, "ca", "leave `verify: off` out",
                         "with `verify: off` the CAs are not asked");
}

static void check_upstream(struct conf_decode *d, const struct conf_node *node, void *object)
{
    struct tls_upstream_conf *conf = object;
    const char *key = NULL;
    uint64_t failures = tls_memory_failures();
    struct err err;
    if (conf->name && !is_address(conf->name) && !is_host_name(conf->name))
        conf_decode_fault(d, node, "name", "write it like api.example.com or 10.0.0.1",
                          "\"%.80s\" is neither a host's name nor an address", conf->name);
    note_verify(d, node, conf);
    if (tls_upstream_new(&conf->upstream, conf, &key, &err) < 0) {
        if (tls_memory_failures() != failures)
            conf_decode_set_short(d);
        else
            conf_decode_fault(d, node, key, "", "%s", err.text);
        return;
    }
    if (!conf_arena_own(d->arena, conf->upstream, drop)) {
        conf->upstream = NULL;
        return;
    }
    if (conf->certificate)
        note_age(d, node, tls_upstream_certificate(conf->upstream), conf->certificate->cert);
}

static const struct conf_field fields[] = {
    { "verify", CONF_ENUM(struct tls_upstream_conf, verify, &verify_type), .preset = "on",
      .help = "`off` takes whatever certificate a server shows: then TLS keeps out those who listen, not "
              "those who "
              "step between." },
    { "ca", CONF_STRING(struct tls_upstream_conf, ca), .min = 1, .max = PATH_BYTES_MAX,
      .help =
          "A PEM file with the certificates of the CAs that sign the servers' (or with those of the servers "
          "themselves); without it the system's." },
    { "name", CONF_STRING(struct tls_upstream_conf, name), .min = 1, .max = NAME_BYTES_MAX,
      .help = "What servers are asked for (SNI), and what their certificates must have; without it a "
              "server's own "
              "name if there is a dot in it, else its address." },
    { "certificate", CONF_OPTIONAL(struct tls_upstream_conf, certificate, &tls_certificate_conf_type),
      .help = "Shown to servers that ask for one." },
    { "profile", CONF_ENUM(struct tls_upstream_conf, profile, &tls_profile_type), .preset = "intermediate",
      .help = "`intermediate` speaks TLS 1.2 and 1.3, `modern` TLS 1.3 alone." },
    { 0 },
};

const struct conf_type tls_upstream_conf_type = {
    .name = "pool tls", .size = sizeof(struct tls_upstream_conf), .fields = fields, .check = check_upstream
};
