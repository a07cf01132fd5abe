#include "logs/error_line.h"

#include <string.h>

#include "logs/entry_value.h"

#define TIME_LEN 19u
/* What others may write before nginx's own line. */
#define PREFIX_MAX 160u

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* the beginning */

static bool takes_literal(struct slice *rest, struct slice literal)
{
    if (!slice_starts_with(*rest, literal)) return false;
    rest->data += literal.len;
    rest->len -= literal.len;
    return true;
}

static bool takes_number(struct slice *rest, uint64_t *out)
{
    size_t len = 0;
    while (len < rest->len && is_digit(rest->data[len])) len++;
    if (!entry_u64((struct slice){ rest->data, len }, out)) return false;
    rest->data += len;
    rest->len -= len;
    return true;
}

/* "2026/03/12 10:00:01", by way of the form that entry_time_iso_s() reads. */
static uint64_t time_of(struct slice s)
{
    static const char form[TIME_LEN + 1] = "0000/00/00 00:00:00";
    char iso[TIME_LEN + 1];
    for (unsigned i = 0; i < TIME_LEN; i++) {
        if (form[i] == '0' ? !is_digit(s.data[i]) : s.data[i] != form[i]) return 0;
        iso[i] = s.data[i];
    }
    iso[4] = iso[7] = '-';
    iso[10] = 'T';
    iso[TIME_LEN] = 'Z';
    return entry_time_iso_s((struct slice){ iso, sizeof(iso) });
}

static bool takes_time(struct slice *rest, uint64_t *out)
{
    for (size_t at = 0; at <= PREFIX_MAX && at + TIME_LEN + 2 < rest->len; at++) {
        if (rest->data[at + 4] != '/') continue;
        *out = time_of((struct slice){ rest->data + at, TIME_LEN });
        if (!*out || rest->data[at + TIME_LEN] != ' ' || rest->data[at + TIME_LEN + 1] != '[') continue;
        rest->data += at + TIME_LEN + 2;
        rest->len -= at + TIME_LEN + 2;
        return true;
    }
    return false;
}

static bool takes_level(struct slice *rest, enum error_level *out)
{
    static const struct slice names[] = {
        [ERROR_DEBUG] = { "debug] ", 7 },   [ERROR_INFO] = { "info] ", 6 },
        [ERROR_NOTICE] = { "notice] ", 8 }, [ERROR_WARN] = { "warn] ", 6 },
        [ERROR_ERROR] = { "error] ", 7 },   [ERROR_CRIT] = { "crit] ", 6 },
        [ERROR_ALERT] = { "alert] ", 7 },   [ERROR_EMERG] = { "emerg] ", 7 },
    };
    for (unsigned i = 0; i < ERROR_LEVEL_COUNT; i++) {
        if (!takes_literal(rest, names[i])) continue;
        *out = (enum error_level)i;
        return true;
    }
    return false;
}

static void take_connection(struct slice *rest, uint64_t *out)
{
    struct slice from = *rest;
    if (takes_literal(rest, SLICE("*")) && takes_number(rest, out) && takes_literal(rest, SLICE(" "))) return;
    *out = 0;
    *rest = from;
}

/* the fields at the end, in the order in which nginx writes them */

static const struct slice field_heads[] = {
    { ", client: ", 10 },     { ", server: ", 10 }, { ", request: \"", 12 },  { ", subrequest: \"", 15 },
    { ", upstream: \"", 13 }, { ", host: \"", 9 },  { ", referrer: \"", 13 },
};
#define HEADS (sizeof(field_heads) / sizeof(*field_heads))
enum { CLIENT, SERVER, REQUEST, SUBREQUEST, UPSTREAM, HOST, REFERRER };

/* Whether a field may end here: nothing follows, or another of a later kind, or what the stream module counts. */
static bool is_end(struct slice rest, unsigned field)
{
    if (!rest.len || slice_starts_with(rest, SLICE(", bytes "))) return true;
    for (unsigned i = field + 1; i < HEADS; i++)
        if (slice_starts_with(rest, field_heads[i])) return true;
    return false;
}

static struct slice take_value(struct slice *rest, unsigned field, bool *is_cut)
{
    bool is_quoted = field >= REQUEST;
    for (size_t i = 0; i <= rest->len; i++) {
        if (is_quoted && (i == rest->len || rest->data[i] != '"')) continue;
        if (!is_quoted && i < rest->len && rest->data[i] != ',') continue;
        struct slice behind = { rest->data + i + is_quoted, rest->len - i - is_quoted };
        if (!is_end(behind, field)) continue;
        struct slice value = { rest->data, i };
        *rest = behind;
        return value;
    }
    struct slice value = *rest;
    *is_cut = true;
    rest->data += rest->len;
    rest->len = 0;
    return value;
}

static void take_fields(struct slice rest, struct error_line *out)
{
    struct slice subrequest;
    struct slice *const seats[HEADS] = { &out->client,   &out->server, &out->request, &subrequest,
                                         &out->upstream, &out->host,   &out->referer };
    for (unsigned i = 0; i < HEADS; i++)
        if (takes_literal(&rest, field_heads[i])) *seats[i] = take_value(&rest, i, &out->is_cut);
}

static bool is_client(struct slice rest)
{
    struct ip ip;
    size_t len = 0;
    while (len < rest.len && rest.data[len] != ',') len++;
    struct slice value = { rest.data, len };
    return slice_equal(value, SLICE("unix:")) || (len < INET6_ADDRSTRLEN && entry_ip(value, &ip));
}

/* Where the fields begin: the first client that is an address, for a path within the message may look like one. */
static size_t find_fields(struct slice text)
{
    const char *p = text.data, *end = text.data + text.len;
    while ((p = memmem(p, (size_t)(end - p), field_heads[CLIENT].data, field_heads[CLIENT].len))) {
        const char *value = p + field_heads[CLIENT].len;
        if (is_client((struct slice){ value, (size_t)(end - value) })) return (size_t)(p - text.data);
        p = value;
    }
    return text.len;
}

/* the message */

/* The system's number in the last "(111: " of it, and in the first where OpenSSL's words follow. */
static int code_of(struct slice message)
{
    uint64_t code;
    for (size_t i = message.len; i-- > 0;) {
        if (message.data[i] != '(') continue;
        struct slice rest = { message.data + i + 1, message.len - i - 1 };
        if (takes_number(&rest, &code) && takes_literal(&rest, SLICE(": ")) && code < 4096) return (int)code;
    }
    return 0;
}

/* What nginx was doing stands behind the last " while " that is not within quotes, where a path may have one. */
static void take_message(struct slice text, struct error_line *out)
{
    static const struct slice mark = { " while ", 7 };
    bool is_quoted = false;
    out->message = text;
    out->action = SLICE_NONE;
    for (size_t i = 0; i < text.len; i++) {
        struct slice rest = { text.data + i, text.len - i };
        if (*rest.data == '"') is_quoted = !is_quoted;
        if (is_quoted || !slice_starts_with(rest, mark)) continue;
        out->message.len = i;
        out->action = (struct slice){ rest.data + mark.len, rest.len - mark.len };
    }
    out->code = code_of(out->message);
}

bool error_line_read(struct slice line, struct error_line *out)
{
    struct slice rest = { line.data, line.len < ERROR_LINE_MAX ? line.len : ERROR_LINE_MAX };
    uint64_t number;
    *out = (struct error_line){ 0 };
    if (!takes_time(&rest, &out->local_s) || !takes_level(&rest, &out->level)) return false;
    if (!takes_number(&rest, &number) || !takes_literal(&rest, SLICE("#")) || !takes_number(&rest, &number) ||
        !takes_literal(&rest, SLICE(": ")))
        return false;
    take_connection(&rest, &out->connection);
    size_t at = find_fields(rest);
    take_message((struct slice){ rest.data, at }, out);
    take_fields((struct slice){ rest.data + at, rest.len - at }, out);
    return true;
}

struct slice error_line_server(struct slice upstream)
{
    const char *scheme = upstream.len ? memmem(upstream.data, upstream.len, "://", 3) : NULL;
    struct slice s = upstream;
    if (scheme) {
        s.data = scheme + 3;
        s.len -= (size_t)(s.data - upstream.data);
    }
    /* A socket's path ends at the colon before the URI; another address at the slash that begins it. */
    bool is_unix = slice_starts_with(s, SLICE("unix:"));
    for (size_t i = is_unix ? 5 : 0; i < s.len; i++) {
        if (s.data[i] != (is_unix ? ':' : '/')) continue;
        s.len = i;
        break;
    }
    return s;
}
