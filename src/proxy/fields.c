#include "proxy/fields.h"

#include "http/h1_scan.h"
#include "proxy/forwarded.h"

/* As an environment variable's name has it, where everything but letters and digits is "_"; here "-". */
static char folded(char c)
{
    if (c >= 'A' && c <= 'Z') return (char)(c | 32);
    return (c >= 'a' && c <= 'z') || h1_is(c, H1_DIGIT) ? c : '-';
}

static bool begins_alike(struct slice name, struct slice prefix)
{
    if (name.len < prefix.len) return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (folded(name.data[i]) != folded(prefix.data[i])) return false;
    return true;
}

bool fields_are_alike(struct slice a, struct slice b)
{
    return a.len == b.len && begins_alike(a, b);
}

/* X-Forwarded-For, -Proto, -Host, -Port, -Prefix, … */
static bool is_forwarding(struct slice name)
{
    return begins_alike(name, SLICE("x-forwarded-")) || fields_are_alike(name, SLICE("x-forwarded")) ||
           fields_are_alike(name, SLICE("x-real-ip")) || fields_are_alike(name, SLICE("forwarded"));
}

/* Names that weir, or whoever reads a head, goes by. */
static bool is_known(struct slice name)
{
    char text[32];
    if (name.len > sizeof(text)) return false;
    for (size_t i = 0; i < name.len; i++) text[i] = folded(name.data[i]);
    struct slice plain = { text, name.len };
    return http_field_id_of(plain) != HTTP_FIELD_OTHER || slice_equal(plain, SLICE("x-egress-host")) ||
           slice_equal(plain, SLICE("x-egress-scheme"));
}

/* With a byte that is neither a letter nor a digit nor "-". */
static bool is_odd(struct slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] != '-' && folded(name.data[i]) == '-') return true;
    return false;
}

/* Whatever the listener says of "_": nobody writes "X_Forwarded_For" or "Content.Length" but to be mistaken. "Proxy"
 * becomes HTTP_PROXY, which programs take for their own setting. */
static bool is_deceit(struct slice name)
{
    if (is_odd(name)) return is_known(name) || is_forwarding(name);
    return slice_equal_fold(name, SLICE("proxy"));
}

/* Those that forwarded.c reads and makes anew. */
static bool is_claim(const struct http_field *f)
{
    return f->id == HTTP_FIELD_X_FORWARDED_FOR || f->id == HTTP_FIELD_X_FORWARDED_HOST ||
           f->id == HTTP_FIELD_X_FORWARDED_PROTO || f->id == HTTP_FIELD_FORWARDED;
}

/* A server takes it for weir's word of who the client is (forward.c). */
static bool is_identity(struct slice name)
{
    return begins_alike(name, SLICE("x-client-cert-"));
}

bool fields_are_identity(const struct route_set *l, struct slice name)
{
    for (uint32_t i = 0; i < l->identity_count; i++)
        if (fields_are_alike(name, slice_of(l->identities[i]))) return true;
    return false;
}

static bool must_drop(const struct http_field *f, bool is_trusted, bool drops_underscores)
{
    struct slice name = { f->name, f->name_len };
    /* Connection cannot take away what a trusted peer says (RFC 9110 7.6.1: they are for all recipients). */
    if (is_claim(f)) return !is_trusted;
    if (f->id == HTTP_FIELD_WEIR_SPLIT) return true; /* a server could take it for weir's */
    if (f->id != HTTP_FIELD_OTHER) return f->is_dropped;
    return f->is_dropped || is_identity(name) || (drops_underscores && memchr(name.data, '_', name.len)) ||
           is_deceit(name) || (!is_trusted && is_forwarding(name));
}

const char *fields_admit(const struct route_set *l, const struct ip *peer, struct http_field *fields,
                         uint32_t count)
{
    uint32_t underscore = l->conf->fields.underscore;
    bool is_trusted = forwarded_is_trusted(l, peer);
    for (uint32_t i = 0; i < count; i++) {
        struct http_field *f = &fields[i];
        if (underscore == FIELDS_UNDERSCORE_REFUSE && memchr(f->name, '_', f->name_len))
            return "a field name with an underscore, which this listener refuses";
        f->is_dropped = must_drop(f, is_trusted, underscore == FIELDS_UNDERSCORE_DROP) ||
                        (l->identity_count && fields_are_identity(l, (struct slice){ f->name, f->name_len }));
    }
    return NULL;
}
