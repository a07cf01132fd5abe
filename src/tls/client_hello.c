#include "tls/client_hello.h"

#include <stdint.h>
#include <string.h>

#define RECORD_HEADER 5u
#define RECORD_MAX 16384u
#define RECORD_HANDSHAKE 22
#define HANDSHAKE_HEADER 4u
#define HANDSHAKE_CLIENT_HELLO 1
#define EXTENSION_SERVER_NAME 0
#define NAME_TYPE_HOST 0

/* A part of a message that is left to read. A length that goes beyond it makes it broken, and empty. */
struct reader {
    const unsigned char *at;
    size_t left;
    bool is_broken;
};

static uint32_t read_number(struct reader *r, unsigned bytes)
{
    uint32_t number = 0;
    if (r->left < bytes) {
        r->is_broken = true;
        r->left = 0;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++) number = number << 8 | r->at[i];
    r->at += bytes;
    r->left -= bytes;
    return number;
}

static struct reader read_bytes(struct reader *r, size_t len)
{
    struct reader part = { r->at, len, false };
    if (r->left < len) {
        r->is_broken = part.is_broken = true;
        r->left = part.left = 0;
        return part;
    }
    r->at += len;
    r->left -= len;
    return part;
}

/* A vector whose length is in front of it (RFC 8446 3.4). */
static struct reader read_vector(struct reader *r, unsigned bytes, size_t min)
{
    struct reader part = read_bytes(r, read_number(r, bytes));
    if (part.left < min) r->is_broken = true;
    return part;
}

/* Whatever else a client writes there is the name of no host (RFC 6066 3: without a dot at the end). */
static bool take_name(struct reader name, struct client_hello *out)
{
    if (!name.left || name.left > CLIENT_HELLO_NAME_MAX) return false;
    for (size_t i = 0; i < name.left; i++) {
        unsigned char c = name.at[i];
        if (c >= 'A' && c <= 'Z') c |= 32;
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_'))
            return false;
        out->name[i] = (char)c;
    }
    if (out->name[0] == '.' || out->name[name.left - 1] == '.') return false;
    out->name_len = name.left;
    out->name[out->name_len] = 0;
    return true;
}

static bool read_server_name(struct reader extension, struct client_hello *out)
{
    struct reader list = read_vector(&extension, 2, 1);
    bool is_good = !extension.is_broken && !extension.left;
    /* One of each type, and there is only one type: more would be two meanings. */
    is_good = is_good && read_number(&list, 1) == NAME_TYPE_HOST;
    struct reader name = read_vector(&list, 2, 1);
    return is_good && !list.is_broken && !list.left && take_name(name, out);
}

static bool read_extensions(struct reader *extensions, struct client_hello *out)
{
    bool has_name = false;
    while (extensions->left) {
        uint32_t type = read_number(extensions, 2);
        struct reader data = read_vector(extensions, 2, 0);
        if (extensions->is_broken) return false;
        if (type != EXTENSION_SERVER_NAME) continue;
        if (has_name || !read_server_name(data, out)) return false;
        has_name = true;
    }
    return true;
}

/* RFC 8446 4.1.2, and as TLS 1.2 has it: extensions may be missing. */
static bool read_message(struct reader m, struct client_hello *out)
{
    uint32_t version = read_number(&m, 2);
    read_bytes(&m, 32); /* random */
    struct reader session = read_vector(&m, 1, 0), ciphers = read_vector(&m, 2, 2);
    read_vector(&m, 1, 1); /* compression */
    if (m.is_broken || version >> 8 != 3 || session.left > 32 || ciphers.left % 2) return false;
    if (!m.left) return true;
    struct reader extensions = read_vector(&m, 2, 0);
    return !m.is_broken && !m.left && read_extensions(&extensions, out);
}

/* What is in the records, one behind the other: a message may be cut into any number of them (RFC 8446 5.1). */
struct gathered {
    unsigned char bytes[CLIENT_HELLO_MAX];
    size_t len;
    bool is_record_whole; /* the last one's: what comes in it behind the message counts, too */
};

static bool is_tls(const unsigned char *bytes, size_t len)
{
    return bytes[0] == RECORD_HANDSHAKE && (len < 2 || bytes[1] == 3);
}

/* How long the message is, its header included; 0: that is not known yet. */
static size_t message_length(const struct gathered *g)
{
    if (g->len < HANDSHAKE_HEADER) return 0;
    return HANDSHAKE_HEADER + ((size_t)g->bytes[1] << 16 | (size_t)g->bytes[2] << 8 | g->bytes[3]);
}

/* One record, or as much of it as has come. False: it can be none of a hello. */
static bool gather_record(struct reader *r, struct gathered *g)
{
    if (!is_tls(r->at, r->left)) return false;
    struct reader header = read_bytes(r, r->left < RECORD_HEADER ? r->left : RECORD_HEADER);
    g->is_record_whole = false;
    if (header.left < RECORD_HEADER) return true;
    size_t len = (size_t)header.at[3] << 8 | header.at[4];
    if (!len || len > RECORD_MAX) return false;
    struct reader data = read_bytes(r, r->left < len ? r->left : len);
    memcpy(g->bytes + g->len, data.at, data.left); /* never more than was given */
    g->len += data.left;
    g->is_record_whole = data.left == len;
    return true;
}

enum client_hello_result client_hello_read(struct slice bytes, struct client_hello *out)
{
    struct gathered g;
    struct reader r = { (const unsigned char *)bytes.data, bytes.len, false };
    out->name_len = 0;
    out->name[0] = 0;
    g.len = 0;
    g.is_record_whole = false;
    if (!bytes.len) return CLIENT_HELLO_MORE;
    if (!is_tls(r.at, r.left)) return CLIENT_HELLO_NOT_TLS;
    if (r.left > CLIENT_HELLO_MAX) r.left = CLIENT_HELLO_MAX;
    while (r.left) {
        if (!gather_record(&r, &g)) return CLIENT_HELLO_BROKEN;
        if (g.len && g.bytes[0] != HANDSHAKE_CLIENT_HELLO) return CLIENT_HELLO_BROKEN;
        size_t len = message_length(&g);
        if (len > CLIENT_HELLO_MAX) return CLIENT_HELLO_BROKEN;
        if (!len || g.len < len || !g.is_record_whole) continue;
        /* Nothing comes behind a hello before the server has answered; early data has records of its own. */
        struct reader message = { g.bytes + HANDSHAKE_HEADER, len - HANDSHAKE_HEADER, false };
        if (g.len == len && read_message(message, out)) return CLIENT_HELLO_WHOLE;
        out->name_len = 0;
        out->name[0] = 0;
        return CLIENT_HELLO_BROKEN;
    }
    return bytes.len >= CLIENT_HELLO_MAX ? CLIENT_HELLO_BROKEN : CLIENT_HELLO_MORE;
}
