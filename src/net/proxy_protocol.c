#include "net/proxy_protocol.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* 2.1: with its line's end. */
#define V1_MAX 107u
#define V2_FIXED 16u

static const char v1_begin[] = "PROXY ";
static const char v2_begin[] = "\r\n\r\n\0\r\nQUIT\n";
#define V2_BEGIN_LEN (sizeof(v2_begin) - 1)

static enum proxy_header_result bad(const char **detail, const char *why)
{
    *detail = why;
    return PROXY_HEADER_BAD;
}

/* version 1 */

/* Cuts the word before the next space off; the last has none behind it. */
static struct slice next_word(struct slice *line)
{
    const char *space = line->len ? memchr(line->data, ' ', line->len) : NULL;
    size_t len = space ? (size_t)(space - line->data) : line->len;
    struct slice word = { line->data, len };
    line->data += len + (space != NULL);
    line->len -= len + (space != NULL);
    return word;
}

static bool parse_port(struct slice text, uint16_t *out)
{
    uint32_t value = 0;
    if (!text.len || text.len > 5 || (text.len > 1 && text.data[0] == '0')) return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    *out = (uint16_t)value;
    return value <= UINT16_MAX;
}

static bool parse_ip(struct slice text, bool is_v4, struct ip *out)
{
    bool has_colon = text.len && memchr(text.data, ':', text.len);
    return has_colon != is_v4 && ip_parse(text, out);
}

/* Without its line's end: "TCP4 192.0.2.7 192.0.2.1 4711 80". */
static enum proxy_header_result parse_line(struct slice line, struct proxy_header *out, const char **detail)
{
    struct ip client, server;
    uint16_t client_port, server_port;
    struct slice family = next_word(&line);
    if (slice_equal(family, SLICE("UNKNOWN"))) return PROXY_HEADER_OK; /* whatever else it says (2.1) */
    bool is_v4 = slice_equal(family, SLICE("TCP4"));
    if (!is_v4 && !slice_equal(family, SLICE("TCP6")))
        return bad(detail, "a PROXY line of another family than TCP4, TCP6 and UNKNOWN");
    if (!parse_ip(next_word(&line), is_v4, &client) || !parse_ip(next_word(&line), is_v4, &server))
        return bad(detail, "a PROXY line whose addresses are none of its family");
    if (!parse_port(next_word(&line), &client_port) || !parse_port(line, &server_port))
        return bad(detail, "a PROXY line whose ports are none");
    out->has_client = true;
    out->client = address_from_ip(&client, client_port);
    return PROXY_HEADER_OK;
}

static enum proxy_header_result parse_v1(struct slice bytes, struct proxy_header *out, const char **detail)
{
    size_t looked = bytes.len < V1_MAX ? bytes.len : V1_MAX;
    const char *end = memchr(bytes.data, '\n', looked);
    if (!end) {
        if (looked == V1_MAX) return bad(detail, "a PROXY line that does not end within 107 bytes");
        return PROXY_HEADER_MORE;
    }
    size_t len = (size_t)(end - bytes.data);
    if (end[-1] != '\r') return bad(detail, "a PROXY line that ends without CR LF");
    out->len = (uint32_t)len + 1;
    size_t begin = sizeof(v1_begin) - 1;
    return parse_line((struct slice){ bytes.data + begin, len - 1 - begin }, out, detail);
}

/* version 2 */

/* 2.2: what is added is a row of type, length and value; none of it is used. */
static bool is_row(struct slice rest)
{
    while (rest.len) {
        if (rest.len < 3) return false;
        size_t len = 3 + ((size_t)(uint8_t)rest.data[1] << 8 | (uint8_t)rest.data[2]);
        if (len > rest.len) return false;
        rest = (struct slice){ rest.data + len, rest.len - len };
    }
    return true;
}

static uint16_t read_u16(const char *at)
{
    return (uint16_t)((uint8_t)at[0] << 8 | (uint8_t)at[1]);
}

/* How long the addresses of each family are (2.2); those of stream sockets over IP are used. */
static const struct {
    uint8_t family;
    uint8_t address_len, all_len;
    bool is_used;
} families[] = {
    { 0x11, 4, 12, true },   { 0x12, 4, 12, false },    { 0x21, 16, 36, true },
    { 0x22, 16, 36, false }, { 0x31, 108, 216, false }, { 0x32, 108, 216, false },
};

static void take_client(struct proxy_header *out, const char *addresses, uint8_t len)
{
    struct ip ip = { .bytes = { [10] = 0xff, [11] = 0xff } };
    memcpy(len == 4 ? ip.bytes + 12 : ip.bytes, addresses, len);
    out->has_client = true;
    out->client = address_from_ip(&ip, read_u16(addresses + (size_t)len * 2));
}

static enum proxy_header_result parse_v2(struct slice bytes, struct proxy_header *out, const char **detail)
{
    uint8_t command = (uint8_t)bytes.data[12], family = (uint8_t)bytes.data[13];
    if (command >> 4 != 2) return bad(detail, "a PROXY header of another version than 1 and 2");
    if ((command & 15) > 1) return bad(detail, "a PROXY header with an unknown command");
    size_t len = read_u16(bytes.data + 14);
    if (V2_FIXED + len > PROXY_HEADER_MAX) return bad(detail, "a PROXY header of over 4 KiB");
    if (bytes.len < V2_FIXED + len) return PROXY_HEADER_MORE;
    out->len = V2_FIXED + (uint32_t)len;
    if (!(command & 15)) return PROXY_HEADER_OK; /* LOCAL: whatever else it says (2.2) */
    const char *addresses = bytes.data + V2_FIXED;
    size_t skipped = 0;
    bool is_known = family == 0;
    for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++) {
        if (families[i].family != family) continue;
        is_known = true;
        skipped = families[i].all_len;
        if (len < skipped) return bad(detail, "a PROXY header shorter than its addresses");
        if (families[i].is_used) take_client(out, addresses, families[i].address_len);
    }
    if (!is_known) return bad(detail, "a PROXY header of an unknown family");
    /* Of one without addresses nothing is said of what stands in their place (2.2). */
    if (family && !is_row((struct slice){ addresses + skipped, len - skipped }))
        return bad(detail, "a PROXY header whose additions are cut");
    return PROXY_HEADER_OK;
}

enum proxy_header_result proxy_header_parse(struct slice bytes, struct proxy_header *out, const char **detail)
{
    size_t v1_len = sizeof(v1_begin) - 1;
    *out = (struct proxy_header){ 0 };
    if (!bytes.len) return PROXY_HEADER_MORE;
    if (bytes.data[0] == v1_begin[0]) {
        if (memcmp(bytes.data, v1_begin, bytes.len < v1_len ? bytes.len : v1_len) != 0)
            return bad(detail, "what came first is no PROXY header");
        return bytes.len < v1_len ? PROXY_HEADER_MORE : parse_v1(bytes, out, detail);
    }
    if (memcmp(bytes.data, v2_begin, bytes.len < V2_BEGIN_LEN ? bytes.len : V2_BEGIN_LEN) != 0)
        return bad(detail, "what came first is no PROXY header");
    return bytes.len < V2_FIXED ? PROXY_HEADER_MORE : parse_v2(bytes, out, detail);
}

/* writing */

static bool is_over_ip(const struct address *a)
{
    return a && (a->sa.any.sa_family == AF_INET || a->sa.any.sa_family == AF_INET6);
}

static size_t write_v1(char *out, const struct address *client, const struct address *server)
{
    char texts[2][INET6_ADDRSTRLEN];
    if (!client) {
        struct text line = text_over(out, PROXY_HEADER_WRITTEN_MAX);
        TEXT_LITERAL(&line, "PROXY UNKNOWN\r\n");
        return line.len;
    }
    struct ip ips[2] = { address_ip(client), address_ip(server) };
    bool is_v4 = ip_is_v4(&ips[0]) && ip_is_v4(&ips[1]);
    /* One family for both: an IPv4 address beside an IPv6 one is written as the latter. */
    for (int i = 0; i < 2; i++)
        inet_ntop(is_v4 ? AF_INET : AF_INET6, ips[i].bytes + (is_v4 ? 12 : 0), texts[i], sizeof(texts[i]));
    return (size_t)snprintf(out, PROXY_HEADER_WRITTEN_MAX, "PROXY %s %s %s %u %u\r\n",
                            is_v4 ? "TCP4" : "TCP6", texts[0], texts[1], address_port(client),
                            address_port(server));
}

static size_t write_v2(char *out, const struct address *client, const struct address *server)
{
    memset(out, 0, V2_FIXED);
    memcpy(out, v2_begin, V2_BEGIN_LEN);
    out[12] = client ? 0x21 : 0x20;
    if (!client) return V2_FIXED;
    struct ip ips[2] = { address_ip(client), address_ip(server) };
    bool is_v4 = ip_is_v4(&ips[0]) && ip_is_v4(&ips[1]);
    size_t from = is_v4 ? 12 : 0, len = 16 - from;
    const uint16_t ports[2] = { htons(address_port(client)), htons(address_port(server)) };
    out[13] = is_v4 ? 0x11 : 0x21;
    out[15] = (char)(2 * len + 4);
    for (size_t i = 0; i < 2; i++) memcpy(out + V2_FIXED + i * len, ips[i].bytes + from, len);
    memcpy(out + V2_FIXED + 2 * len, ports, sizeof(ports));
    return V2_FIXED + 2 * len + sizeof(ports);
}

size_t proxy_header_write(char out[PROXY_HEADER_WRITTEN_MAX], enum proxy_protocol version,
                          const struct address *client, const struct address *server)
{
    if (!is_over_ip(client) || !is_over_ip(server)) client = server = NULL;
    return version == PROXY_PROTOCOL_V1 ? write_v1(out, client, server) : write_v2(out, client, server);
}
