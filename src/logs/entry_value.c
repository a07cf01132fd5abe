#include "logs/entry_value.h"

#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool entry_u64(struct slice text, uint64_t *out)
{
    if (!text.len || text.len > 19) return false;
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (!is_digit(text.data[i])) return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    *out = value;
    return true;
}

uint64_t entry_seconds_us(struct slice text)
{
    uint64_t whole = 0, part = 0, scale = 1000000;
    size_t i = 0;
    for (; i < text.len && is_digit(text.data[i]) && i < 12; i++)
        whole = whole * 10 + (uint64_t)(text.data[i] - '0');
    if (!i) return UINT64_MAX;
    if (i < text.len && text.data[i] == '.') {
        for (i++; i < text.len && is_digit(text.data[i]); i++) {
            scale /= 10;
            part += (uint64_t)(text.data[i] - '0') * scale;
        }
    }
    return i == text.len ? whole * 1000000 + part : UINT64_MAX;
}

bool entry_next_attempt(struct slice *rest, struct slice *element)
{
    size_t i = 0;
    if (!rest->len) return false;
    while (i < rest->len && (rest->data[i] == ' ' || rest->data[i] == ',' || rest->data[i] == ':')) i++;
    size_t from = i;
    while (i < rest->len && rest->data[i] != ' ' && rest->data[i] != ',') i++;
    *element = (struct slice){ rest->data + from, i - from };
    *rest = (struct slice){ rest->data + i, rest->len - i };
    return element->len > 0;
}

uint64_t entry_seconds_sum_us(struct slice text)
{
    struct slice element;
    uint64_t sum = UINT64_MAX;
    while (entry_next_attempt(&text, &element)) {
        uint64_t us = entry_seconds_us(element);
        if (us == UINT64_MAX) continue;
        sum = sum == UINT64_MAX ? us : sum + us;
    }
    return sum;
}

uint32_t entry_last_status(struct slice text)
{
    struct slice element;
    uint32_t last = 0;
    uint64_t status;
    while (entry_next_attempt(&text, &element))
        if (element.len == 3 && entry_u64(element, &status)) last = (uint32_t)status;
    return last;
}

/* times */

/* Days since 1970 of a date of the Gregorian calendar: Howard Hinnant, "chrono-compatible low-level date
 * algorithms", days_from_civil. */
static int64_t days_of(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    unsigned of_era = (unsigned)(year - era * 400);
    unsigned of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    return era * 146097 + (int64_t)days - 719468;
}

/* `count` digits at `at`; -1 if they are none. */
static int digits(struct slice s, size_t at, unsigned count)
{
    int value = 0;
    if (at + count > s.len) return -1;
    for (unsigned i = 0; i < count; i++) {
        if (!is_digit(s.data[at + i])) return -1;
        value = value * 10 + (s.data[at + i] - '0');
    }
    return value;
}

static bool is_at(struct slice s, size_t at, char c)
{
    return at < s.len && s.data[at] == c;
}

struct date {
    int year, month, day, hour, minute, second;
};

/* 0: no such time. `offset_s`: of the zone, east is positive. */
static uint64_t seconds_of(const struct date *d, int offset_s)
{
    if (d->year < 1970 || d->month < 1 || d->month > 12 || d->day < 1 || d->day > 31 || d->hour > 23 ||
        d->minute > 59 || d->second > 60 || d->hour < 0 || d->minute < 0 || d->second < 0)
        return 0;
    int64_t s = days_of(d->year, (unsigned)d->month, (unsigned)d->day) * 86400 + d->hour * 3600 +
                d->minute * 60 + d->second - offset_s;
    return s > 0 ? (uint64_t)s : 0;
}

static bool zone_of(struct slice s, size_t at, bool has_colon, int *offset_s)
{
    *offset_s = 0;
    if (is_at(s, at, 'Z')) return at + 1 == s.len;
    if (!is_at(s, at, '+') && !is_at(s, at, '-')) return false;
    int hours = digits(s, at + 1, 2), minutes = digits(s, at + 3 + has_colon, 2);
    if (hours < 0 || minutes < 0 || at + 5 + has_colon != s.len) return false;
    *offset_s = (hours * 3600 + minutes * 60) * (s.data[at] == '-' ? -1 : 1);
    return true;
}

static int month_of(struct slice s, size_t at)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (at + 3 > s.len) return 0;
    for (int i = 0; i < 12; i++)
        if (memcmp(s.data + at, names + i * 3, 3) == 0) return i + 1;
    return 0;
}

uint64_t entry_time_local_s(struct slice s)
{
    int offset_s;
    if (!is_at(s, 2, '/') || !is_at(s, 6, '/') || !is_at(s, 11, ':') || !is_at(s, 14, ':') ||
        !is_at(s, 17, ':') || !is_at(s, 20, ' ') || !zone_of(s, 21, false, &offset_s))
        return 0;
    struct date d = { digits(s, 7, 4),  month_of(s, 3),   digits(s, 0, 2),
                      digits(s, 12, 2), digits(s, 15, 2), digits(s, 18, 2) };
    return seconds_of(&d, offset_s);
}

uint64_t entry_time_iso_s(struct slice s)
{
    int offset_s;
    size_t at = 19;
    if (!is_at(s, 4, '-') || !is_at(s, 7, '-') || !is_at(s, 10, 'T') || !is_at(s, 13, ':') ||
        !is_at(s, 16, ':'))
        return 0;
    if (is_at(s, at, '.'))
        for (at++; at < s.len && is_digit(s.data[at]);) at++;
    bool has_colon = is_at(s, at + 3, ':');
    if (!zone_of(s, at, has_colon, &offset_s)) return 0;
    struct date d = { digits(s, 0, 4),  digits(s, 5, 2),  digits(s, 8, 2),
                      digits(s, 11, 2), digits(s, 14, 2), digits(s, 17, 2) };
    return seconds_of(&d, offset_s);
}

bool entry_zone_s(const struct log_entry *e, int *offset_s)
{
    struct slice local = e->values[LOG_TIME_LOCAL], iso = e->values[LOG_TIME_ISO];
    if (local.len) return zone_of(local, 21, false, offset_s);
    size_t at = 19;
    if (is_at(iso, at, '.'))
        for (at++; at < iso.len && is_digit(iso.data[at]);) at++;
    return zone_of(iso, at, is_at(iso, at + 3, ':'), offset_s);
}

/* addresses */

static bool ip4(struct slice text, uint8_t out[4])
{
    unsigned part = 0, count = 0, parts = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (is_digit(c) && count < 3) {
            part = part * 10 + (unsigned)(c - '0');
            count++;
        } else if (c == '.' && count && parts < 3 && part < 256) {
            out[parts++] = (uint8_t)part;
            part = count = 0;
        } else {
            return false;
        }
    }
    if (parts != 3 || !count || part > 255) return false;
    out[3] = (uint8_t)part;
    return true;
}

bool entry_ip(struct slice text, struct ip *out)
{
    static const struct ip mapped = { .bytes = { [10] = 0xff, [11] = 0xff } };
    if (text.len <= 15) {
        *out = mapped;
        if (ip4(text, out->bytes + 12)) return true;
    }
    return ip_parse(text, out);
}

/* the request line */

/* What nginx takes for a method: of the tokens of RFC 9110, 9.1, those in capitals. */
static bool is_method_char(char c)
{
    return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

bool entry_request(struct slice text, struct slice *method, struct slice *target, struct slice *protocol)
{
    size_t first = 0, last = text.len;
    while (first < text.len && is_method_char(text.data[first])) first++;
    if (!first || first > 32 || !is_at(text, first, ' ')) return false;
    while (last > first && text.data[last - 1] != ' ') last--;
    *method = (struct slice){ text.data, first };
    *protocol = (struct slice){ text.data + last, text.len - last };
    bool has_protocol = last > first + 1 && slice_starts_with(*protocol, SLICE("HTTP/"));
    size_t end = has_protocol ? last - 1 : text.len; /* HTTP/0.9 has none */
    if (!has_protocol) *protocol = SLICE_NONE;
    *target = (struct slice){ text.data + first + 1, end - first - 1 };
    return end > first + 1;
}

static void derive_request(struct log_entry *e)
{
    struct slice request = e->values[LOG_REQUEST];
    struct slice target = e->values[LOG_TARGET];
    e->method = e->values[LOG_METHOD];
    e->is_binary = false;
    if (request.data) {
        struct slice protocol, method, from_request;
        if (entry_request(request, &method, &from_request, &protocol)) {
            e->method = method;
            e->values[LOG_PROTOCOL] = protocol;
            target = from_request;
        } else {
            e->is_binary = request.len > 0 && !slice_equal(request, SLICE("-"));
            e->method = SLICE_NONE;
            e->values[LOG_PROTOCOL] = SLICE_NONE; /* not the one of the record before */
            target = SLICE_NONE;
        }
    }
    e->values[LOG_TARGET] = target;
    const char *query = target.len ? memchr(target.data, '?', target.len) : NULL;
    e->path = query ? (struct slice){ target.data, (size_t)(query - target.data) } : target;
}

void entry_derive(struct log_entry *e)
{
    uint64_t number;
    derive_request(e);
    e->status = 0;
    if (e->values[LOG_STATUS].len == 3 && entry_u64(e->values[LOG_STATUS], &number))
        e->status = (uint32_t)number;
    struct slice bytes = e->values[LOG_BODY_BYTES].data ? e->values[LOG_BODY_BYTES] : e->values[LOG_BYTES];
    e->bytes = entry_u64(bytes, &number) ? number : 0;
    e->request_us = entry_seconds_us(e->values[LOG_REQUEST_TIME]);
    e->upstream_us = entry_seconds_sum_us(e->values[LOG_UPSTREAM_TIME]);
    if (!entry_ip(e->values[LOG_CLIENT], &e->client)) e->client = (struct ip){ 0 };
}
