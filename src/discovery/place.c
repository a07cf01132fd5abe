#include "discovery/place.h"

#include <stddef.h>
#include <string.h>

#define TEXT_AT offsetof(struct sockaddr_un, sun_path)

static const struct {
    const char *name;
    struct slice prefix; /* empty: a name and a port */
} kinds[PLACE_KINDS] = {
    [PLACE_DNS] = { "dns", { "", 0 } },
    [PLACE_SRV] = { "srv", { "srv:", 4 } },
    [PLACE_FILE] = { "file", { "file:", 5 } },
    [PLACE_DOCKER] = { "docker", { "docker:", 7 } },
};

const char *place_kind_name(enum place_kind kind)
{
    return kinds[kind].name;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 1123 2.1, and underscores, which names inside of a house have. All digits and dots is an address that is wrong. */
static bool is_name(struct slice host)
{
    bool has_letter = false;
    size_t label = 0;
    if (host.len && host.data[host.len - 1] == '.') host.len--;
    if (!host.len) return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        bool is_dot = c == '.';
        if (is_dot ? !label : !is_letter(c) && !(c >= '0' && c <= '9') && c != '-' && c != '_') return false;
        has_letter |= is_letter(c);
        label = is_dot ? 0 : label + 1;
        if (label > 63) return false;
    }
    return has_letter && label;
}

/* Digits without a leading zero, from 1; 0: it is none. */
static uint16_t port_of(struct slice digits)
{
    uint32_t port = 0;
    if (!digits.len || digits.len > 5 || digits.data[0] == '0') return 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') return 0;
        port = port * 10 + (uint32_t)(digits.data[i] - '0');
    }
    return port > 65535 ? 0 : (uint16_t)port;
}

/* False: it is no name with a port. */
static bool read_name(struct slice text, struct place *out)
{
    const char *colon = text.len ? memrchr(text.data, ':', text.len) : NULL;
    if (!colon) return false;
    out->name = (struct slice){ text.data, (size_t)(colon - text.data) };
    out->port = port_of((struct slice){ colon + 1, text.len - out->name.len - 1 });
    return is_name(out->name) && out->port;
}

static bool read_place(struct slice text, struct place *out)
{
    *out = (struct place){ .kind = PLACE_DNS, .text = text };
    for (unsigned i = PLACE_DNS + 1; i < PLACE_KINDS; i++) {
        struct slice prefix = kinds[i].prefix;
        if (!slice_starts_with(text, prefix)) continue;
        out->kind = (enum place_kind)i;
        out->name = (struct slice){ text.data + prefix.len, text.len - prefix.len };
        return true;
    }
    return read_name(text, out);
}

/* What is safe as it is in a question to Docker, and in its JSON. */
static bool is_label(struct slice name)
{
    const char *at = memchr(name.data, '@', name.len);
    if (at) name.len = (size_t)(at - name.data);
    if (!name.len || name.data[0] == '=') return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool is_sign = c == '.' || c == '-' || c == '_' || c == '/' || c == '=';
        if (!is_letter(c) && !(c >= '0' && c <= '9') && !is_sign) return false;
    }
    return true;
}

static bool has_bad_socket(struct slice name)
{
    const char *at = memchr(name.data, '@', name.len);
    return at && (at + 1 == name.data + name.len || at[1] != '/');
}

static int check_place(struct slice text, const struct place *p, struct err *err)
{
    bool has_zero = text.len && memchr(text.data, 0, text.len);
    if (p->kind == PLACE_FILE && (!p->name.len || p->name.data[0] != '/' || has_zero))
        return err_set(err, "\"%.*s\" has no absolute path; write file:/etc/weir/app.servers",
                       SLICE_ARGS(text));
    if (p->kind == PLACE_SRV && (!is_name(p->name) || p->name.data[0] != '_'))
        return err_set(err, "\"%.*s\" is no service; write one like srv:_http._tcp.app.internal",
                       SLICE_ARGS(text));
    if (p->kind == PLACE_DOCKER && !is_label(p->name))
        return err_set(err, "\"%.*s\" is no label of containers; write one like docker:app=web",
                       SLICE_ARGS(text));
    if (p->kind == PLACE_DOCKER && (has_bad_socket(p->name) || has_zero))
        return err_set(err,
                       "\"%.*s\" has no absolute path behind the @, like docker:app=web@/run/docker.sock",
                       SLICE_ARGS(text));
    return 0;
}

int place_parse(struct slice text, struct address *out, struct err *err)
{
    struct place p;
    memset(out, 0, sizeof(*out));
    if (!read_place(text, &p) || check_place(text, &p, err) < 0) return -1;
    if (text.len > PLACE_TEXT_MAX)
        return err_set(err, "\"%.*s…\" has %zu bytes, and what servers are found by may have %u", 40,
                       text.data, text.len, PLACE_TEXT_MAX);
    out->sa.un.sun_family = AF_UNSPEC;
    memcpy(out->sa.un.sun_path, text.data, text.len);
    out->len = (socklen_t)(TEXT_AT + text.len + 1);
    return 0;
}

bool place_is_one(const struct address *a)
{
    return a->sa.any.sa_family == AF_UNSPEC && a->len > TEXT_AT + 1;
}

struct place place_of(const struct address *a)
{
    struct place p;
    bool is_place = read_place((struct slice){ a->sa.un.sun_path, a->len - TEXT_AT - 1 }, &p);
    (void)is_place; /* it was parsed before it was kept */
    return p;
}
