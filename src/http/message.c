#include "http/message.h"

#include <stddef.h>

static const struct {
    struct slice text;
    bool is_safe, is_idempotent;
} methods[] = {
#define X(id, text, safe, idempotent) [HTTP_##id] = { { text, sizeof(text) - 1 }, safe, idempotent },
    HTTP_METHODS(X)
#undef X
};

static const struct slice field_names[] = { [HTTP_FIELD_OTHER] = { "", 0 },
#define X(id, text) [HTTP_FIELD_##id] = { text, sizeof(text) - 1 },
                                            HTTP_FIELDS(X)
#undef X
};

bool http_method_is_safe(enum http_method m)
{
    return m < HTTP_OTHER && methods[m].is_safe;
}

bool http_method_is_idempotent(enum http_method m)
{
    return m < HTTP_OTHER && methods[m].is_idempotent;
}

const char *http_method_name(enum http_method m)
{
    return m < HTTP_OTHER ? methods[m].text.data : "other";
}

enum http_method http_method_of(struct slice text)
{
    enum http_method m = HTTP_OTHER;
    switch (text.len) {
    case 3: m = text.data[0] == 'G' ? HTTP_GET : HTTP_PUT; break;
    case 4: m = text.data[0] == 'P' ? HTTP_POST : HTTP_HEAD; break;
    case 5: m = text.data[0] == 'P' ? HTTP_PATCH : HTTP_TRACE; break;
    case 6: m = HTTP_DELETE; break;
    case 7: m = text.data[0] == 'O' ? HTTP_OPTIONS : HTTP_CONNECT; break;
    default: return HTTP_OTHER;
    }
    return memcmp(text.data, methods[m].text.data, text.len) == 0 ? m : HTTP_OTHER;
}

/* Whether `a` is `lower` but for the case of letters. Letters are the bytes of `lower` with bit 6 set;
 * only there may bit 5 differ, so "host\r" is not "host-". */
static inline uint64_t difference(uint64_t a, uint64_t lower)
{
    uint64_t letters = (lower & UINT64_C(0x4040404040404040)) >> 1;
    return (a ^ lower) & ~letters;
}

static inline uint64_t load(const char *p, size_t len)
{
    uint64_t word = 0;
    memcpy(&word, p, len);
    return word;
}

static inline bool is_same_name(const char *a, const char *lower, size_t len)
{
    if (len >= 8) {
        uint64_t differs = difference(load(a + len - 8, 8), load(lower + len - 8, 8));
        for (size_t i = 0; i + 8 < len; i += 8) differs |= difference(load(a + i, 8), load(lower + i, 8));
        return differs == 0;
    }
    if (len >= 4) {
        uint64_t head = difference(load(a, 4), load(lower, 4));
        return (head | difference(load(a + len - 4, 4), load(lower + len - 4, 4))) == 0;
    }
    return len == 3 ? difference(load(a, 3), load(lower, 3)) == 0
                    : difference(load(a, 2), load(lower, 2)) == 0;
}

/* The only field of that length that the name can be, told by one byte where there are several. */
static enum http_field_id candidate(const char *name, size_t len)
{
    switch (len) {
    case 2: return HTTP_FIELD_TE;
    case 3: return HTTP_FIELD_VIA;
    case 4: return (name[0] | 0x20) == 'h' ? HTTP_FIELD_HOST : HTTP_FIELD_DATE;
    case 6:
        switch (name[0] | 0x20) {
        case 'e': return HTTP_FIELD_EXPECT;
        case 'a': return HTTP_FIELD_ACCEPT;
        case 'o': return HTTP_FIELD_ORIGIN;
        default: return HTTP_FIELD_SERVER;
        }
    case 7:
        switch (name[0] | 0x20) {
        case 't': return HTTP_FIELD_TRAILER;
        case 'u': return HTTP_FIELD_UPGRADE;
        default: return HTTP_FIELD_REFERER;
        }
    case 8: return HTTP_FIELD_WEIR_PIN;
    case 9: return HTTP_FIELD_FORWARDED;
    case 10:
        switch (name[0] | 0x20) {
        case 'c': return HTTP_FIELD_CONNECTION;
        case 'k': return HTTP_FIELD_KEEP_ALIVE;
        case 'w': return HTTP_FIELD_WEIR_SPLIT;
        default: return HTTP_FIELD_USER_AGENT;
        }
    case 12: return (name[0] | 0x20) == 'c' ? HTTP_FIELD_CONTENT_TYPE : HTTP_FIELD_X_REQUEST_ID;
    case 13: return HTTP_FIELD_AUTHORIZATION;
    case 14: return (name[0] | 0x20) == 'c' ? HTTP_FIELD_CONTENT_LENGTH : HTTP_FIELD_WEIR_PIN_TOKEN;
    case 15: return HTTP_FIELD_X_FORWARDED_FOR;
    case 16: return (name[0] | 0x20) == 'p' ? HTTP_FIELD_PROXY_CONNECTION : HTTP_FIELD_X_FORWARDED_HOST;
    case 17: return (name[0] | 0x20) == 't' ? HTTP_FIELD_TRANSFER_ENCODING : HTTP_FIELD_X_FORWARDED_PROTO;
    case 18: return HTTP_FIELD_PROXY_AUTHENTICATE;
    case 19: return HTTP_FIELD_PROXY_AUTHORIZATION;
    default: return HTTP_FIELD_OTHER;
    }
}

enum http_field_id http_field_id_of(struct slice name)
{
    enum http_field_id id = candidate(name.data, name.len);
    if (id == HTTP_FIELD_OTHER) return id;
    return is_same_name(name.data, field_names[id].data, name.len) ? id : HTTP_FIELD_OTHER;
}

const char *http_field_name(enum http_field_id id)
{
    return id < HTTP_FIELD_COUNT ? field_names[id].data : "";
}

const struct http_field *http_head_find(const struct http_head *head, enum http_field_id id)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (f->id == id && !f->is_dropped) return f;
    }
    return NULL;
}

bool http_head_has_several(const struct http_head *head, enum http_field_id id)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < head->field_count; i++)
        count += head->fields[i].id == id && !head->fields[i].is_dropped;
    return count > 1;
}

const struct http_field *http_head_find_name(const struct http_head *head, struct slice name)
{
    for (uint32_t i = 0; i < head->field_count; i++) {
        const struct http_field *f = &head->fields[i];
        if (!f->is_dropped && slice_equal_fold((struct slice){ f->name, f->name_len }, name)) return f;
    }
    return NULL;
}

const char *http_status_text(uint16_t status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 226: return "IM Used";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 506: return "Variant Also Negotiates";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 510: return "Not Extended";
    case 511: return "Network Authentication Required";
    default: return "";
    }
}
